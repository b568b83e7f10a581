"""The sampler: vectors in, sampled explanations out, with their log-probabilities.

The shared beginning of the prompt runs once; what follows runs once for every vector, with the vector
injected; then all rows decode together, without a mask because they have the same length, and rows
that have ended leave the batch. Log-probabilities come from the raw distribution at temperature 1,
and equal ``Verbalizer.log_probs`` of the same tokens. :func:`sample` draws many explanations alike, for training and
measuring; :func:`sample_rows` draws rows that differ in everything, for those who ask a server.

Axes: N vectors, R rows being decoded (vectors x samples), T new tokens, V vocabulary, D width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from nlakit.config import derive_seed
from nlakit.errors import InputError, ModelError
from nlakit.explanations import Explanation, Outcome
from nlakit.models.cache import keep_rows, prefix_cache, widened, with_room
from nlakit.models.verbalizer import Verbalizer
from nlakit.vectors import check_vectors

BATCH_ROWS = 256
CACHE_BYTES = 8 * 2**30
"""Most that keys and values of a batch may take; a fixed number, so that what is drawn does not depend on free memory."""
COMPACTION_STEPS = 3  # dropping ended rows copies the cache, which costs about this many decoding steps of the batch


@dataclass(frozen=True, slots=True)
class Sample:
    """One sampled completion: its ids (closing tag or end token included), its text and how it ended.

    ``log_probs`` has one value in nats for every id, or is ``None`` when they were not asked for.
    """

    ids: list[int]
    text: str
    outcome: Outcome
    log_probs: Tensor | None = None

    @property
    def explanation(self) -> Explanation:
        """The text with its outcome."""
        return Explanation(self.text, self.outcome)


@dataclass(frozen=True, slots=True)
class Wish:
    """How one explanation is to be drawn, where each row of a batch has its own settings."""

    temperature: float
    """0 takes the likeliest token every time."""
    max_new_tokens: int
    seed: int
    """What the row draws depends on its seed alone, but for the last digits of its logits."""


Watch = Callable[[list[list[int]], list[bool]], Sequence[int]]
"""Called after every step with the ids of each row so far and which rows have ended; returns rows that nobody waits for."""


@dataclass(slots=True)
class _Draws:
    """What the rows of a batch are drawn with."""

    uniform_RT: Tensor
    temperature: float | Tensor
    """One for all rows, or one a row (R, 1)."""
    limits_R: Tensor | None = None
    """Most tokens of each row; ``None`` where all have as many as ``uniform_RT`` has columns."""
    watch: Watch | None = None

    def rows(self, start: int, end: int, watch: Watch | None) -> _Draws:
        """Return those of some rows whose settings differ."""
        one = self.temperature
        return _Draws(
            self.uniform_RT[start:end],
            one[start:end] if isinstance(one, Tensor) else one,
            None if self.limits_R is None else self.limits_R[start:end],
            watch,
        )


@dataclass(slots=True)
class _Decoded:
    """Raw output of one batch."""

    ids_RT: Tensor
    logp_RT: Tensor | None
    lengths_R: Tensor
    stopped_R: Tensor


def sample(
    verbalizer: Verbalizer,
    vectors_ND: Tensor,
    *,
    samples: int = 1,
    temperature: float = 1.0,
    max_new_tokens: int | None = None,
    seed: int = 0,
    keep_log_probs: bool = False,
    batch_rows: int = BATCH_ROWS,
) -> list[Sample]:
    """Sample ``samples`` explanations for every vector; returns N x samples of them, those of a vector together.

    ``temperature`` 0 takes the likeliest token (one sample is then as good as many). The same seed,
    vectors and settings give the same result on the same machine. A row ends with the closing tag or
    a stop token; at ``max_new_tokens`` (default: the verbalizer's) it is cut off.

    Raises ``InputError`` for vectors of the wrong shape or with values that are not finite, for settings
    out of range and for more tokens than the window has room for, and ``ModelError`` when the verbalizer's logits are not finite.
    """
    vectors_ND = check_vectors(vectors_ND, verbalizer.width).to(verbalizer.device)
    limit = verbalizer.max_new_tokens if max_new_tokens is None else max_new_tokens
    if samples < 1 or limit < 1 or batch_rows < 1 or not 0 <= temperature < math.inf:
        raise InputError(
            f"samples={samples}, max_new_tokens={limit}, batch_rows={batch_rows} must be at least 1 and temperature={temperature} "
            "a number of at least 0."
        )
    verbalizer.require_room(limit)
    decoded: list[_Decoded] = []
    decoder = _Decoder(verbalizer, keep_log_probs)
    with _sampling(verbalizer):
        shared = prefix_cache(verbalizer.model, verbalizer.shared_ids)
        step = max(1, _rows_that_fit(shared, len(verbalizer.prompt_ids) + limit, batch_rows) // samples)
        for start in range(0, len(vectors_ND), step):
            generator = torch.Generator(verbalizer.device).manual_seed(derive_seed(seed, "sample", start))
            batch_ND = vectors_ND[start : start + step]
            # All at once, so that what a row draws does not depend on which others have ended.
            uniform_RT = torch.rand((len(batch_ND) * samples, limit), generator=generator, device=verbalizer.device)
            decoded.append(decoder.run(shared, batch_ND, samples, _Draws(uniform_RT, temperature)))
    return [item for raw in decoded for item in _finish(verbalizer, raw)]


def sample_rows(
    verbalizer: Verbalizer, vectors_ND: Tensor, wishes: Sequence[Wish], *, watch: Watch | None = None
) -> list[Sample]:
    """Sample one explanation for every vector, each drawn as its wish says, as many together as the cache may hold.

    A row that ``watch`` gives up ends where it is and counts as cut off. Raises as :func:`sample` does.
    """
    vectors_ND = check_vectors(vectors_ND, verbalizer.width).to(verbalizer.device)
    if len(wishes) != len(vectors_ND):
        raise InputError(f"{len(vectors_ND)} vectors and {len(wishes)} wishes do not go together; give one for each.")
    for wish in wishes:
        if wish.max_new_tokens < 1 or not 0 <= wish.temperature < math.inf:
            raise InputError(f"{wish}: max_new_tokens must be at least 1 and temperature a number of at least 0.")
    if not wishes:
        return []
    limit = max(wish.max_new_tokens for wish in wishes)
    verbalizer.require_room(limit)
    uniform_RT = torch.zeros((len(wishes), limit))
    for row, wish in enumerate(wishes):
        generator = torch.Generator().manual_seed(derive_seed(wish.seed, "sample"))
        uniform_RT[row, : wish.max_new_tokens] = torch.rand(wish.max_new_tokens, generator=generator)
    draws = _Draws(
        uniform_RT.to(verbalizer.device),
        torch.tensor([[wish.temperature] for wish in wishes], device=verbalizer.device),
        torch.tensor([wish.max_new_tokens for wish in wishes], device=verbalizer.device),
        watch,
    )
    decoder, made = _Decoder(verbalizer, keep=False), list[Sample]()
    with _sampling(verbalizer):
        shared = prefix_cache(verbalizer.model, verbalizer.shared_ids)
        step = max(1, _rows_that_fit(shared, len(verbalizer.prompt_ids) + limit, len(wishes)))
        for start in range(0, len(wishes), step):
            part = draws.rows(start, start + step, watch and _watch_part(watch, made, len(wishes)))
            made += _finish(verbalizer, decoder.run(shared, vectors_ND[start : start + step], 1, part))
    return made


def _watch_part(watch: Watch, before: Sequence[Sample], total: int) -> Watch:
    """Show ``watch`` all rows while a part of them is decoded: those before it have ended, those behind it have no token."""
    start, written = len(before), [sample.ids for sample in before]

    def part(ids: list[list[int]], ended: list[bool]) -> list[int]:
        behind = total - start - len(ids)
        gone = watch([*written, *ids, *([[]] * behind)], [*([True] * start), *ended, *([False] * behind)])
        return [row - start for row in gone if start <= row < start + len(ids)]

    return part


@contextmanager
def _sampling(verbalizer: Verbalizer) -> Iterator[None]:
    """Run the verbalizer as it is read from: without gradients and without dropout."""
    was_training = verbalizer.model.training
    verbalizer.model.eval()
    try:
        with torch.inference_mode(), verbalizer.compute.running(verbalizer.model):
            yield
    finally:
        verbalizer.model.train(was_training)


def _rows_that_fit(shared: DynamicCache, tokens: int, wanted: int) -> int:
    """How many of the wanted rows, of so many tokens each, the cache may hold, judged by what the shared tokens take."""
    states = [
        state
        for layer in shared.layers
        for name in ("keys", "values")
        if (state := getattr(layer, name, None)) is not None
    ]
    read = max((state.shape[-2] for state in states), default=0)
    if not read:
        return wanted
    return min(wanted, int(CACHE_BYTES // (tokens * sum(state.nbytes for state in states) / read)))


class _Decoder:
    """Decodes one batch of rows in lockstep."""

    def __init__(self, verbalizer: Verbalizer, keep: bool) -> None:
        self.verbalizer = verbalizer
        self.keep = keep
        device = verbalizer.device
        close = verbalizer.close_ids
        stops = [*verbalizer.stop_ids, *(close if len(close) == 1 else [])]
        self.stop_ids = torch.tensor(stops, device=device)
        self.close_ids = torch.tensor(close, device=device) if len(close) > 1 else None

    def run(self, shared: DynamicCache, vectors_ND: Tensor, samples: int, draws: _Draws) -> _Decoded:
        """Decode until every row has ended or has as many tokens as it may."""
        model = self.verbalizer.model
        rows, limit = draws.uniform_RT.shape
        logits_RV, cache = self._read_vectors(shared, vectors_ND, samples, limit)
        device = logits_RV.device
        out = _Decoded(
            torch.zeros((rows, limit), dtype=torch.long, device=device),
            torch.zeros((rows, limit), device=device) if self.keep else None,
            torch.full((rows,), limit, device=device),
            torch.zeros(rows, dtype=torch.bool, device=device),
        )
        row_R = torch.arange(rows, device=device)  # which row of the output each decoded row is
        ended_R = torch.zeros(rows, dtype=torch.bool, device=device)
        for t in range(limit):
            temperature = draws.temperature[row_R] if isinstance(draws.temperature, Tensor) else draws.temperature
            tokens_R, logp_R = self._draw(logits_RV, draws.uniform_RT[row_R, t, None], temperature)
            out.ids_RT[row_R, t] = tokens_R
            if out.logp_RT is not None and logp_R is not None:
                out.logp_RT[row_R, t] = logp_R
            now_R = self._ends(out.ids_RT, row_R, tokens_R, t) & ~ended_R
            out.stopped_R[row_R[now_R]] = True
            now_R |= self._given_up(out, row_R, t, draws) & ~ended_R
            out.lengths_R[row_R[now_R]] = t + 1
            ended_R |= now_R
            n_ended = int(ended_R.sum())
            left = limit - t - 1
            if n_ended == len(row_R) or left == 0:
                break
            if n_ended * left > COMPACTION_STEPS * len(row_R):
                going = (~ended_R).nonzero()[:, 0]
                keep_rows(cache, going)
                row_R, tokens_R, ended_R = row_R[going], tokens_R[going], ended_R[going]
            logits_RV = model(
                input_ids=tokens_R[:, None], past_key_values=cache, use_cache=True, logits_to_keep=1
            ).logits[:, -1]
        return out

    def _given_up(self, out: _Decoded, row_R: Tensor, t: int, draws: _Draws) -> Tensor:
        """Which decoded rows end after column ``t`` though they wrote no end: those at their limit, and those nobody waits for."""
        gone_R = torch.zeros(len(row_R), dtype=torch.bool, device=row_R.device)
        if draws.limits_R is not None:
            gone_R |= draws.limits_R[row_R] <= t + 1
        if draws.watch is not None:
            most_R = out.lengths_R if draws.limits_R is None else torch.minimum(out.lengths_R, draws.limits_R)
            lengths = most_R.clamp(max=t + 1).tolist()
            ended = (out.stopped_R | (most_R < t + 1)).tolist()
            ids = [row[:length] for row, length in zip(out.ids_RT[:, : t + 1].tolist(), lengths, strict=True)]
            dropped = torch.tensor(list(draws.watch(ids, ended)), dtype=torch.long, device=row_R.device)
            gone_R |= torch.isin(row_R, dropped)
        return gone_R

    def _read_vectors(
        self, shared: DynamicCache, vectors_ND: Tensor, samples: int, limit: int
    ) -> tuple[Tensor, DynamicCache]:
        """Run each vector's own part of the prompt once and return the first logits and a cache for all rows."""
        own_ids = self.verbalizer.own_ids
        rows = len(vectors_ND)
        cache = widened(shared, rows) if self.verbalizer.shared_ids else prefix_cache(self.verbalizer.model, ())
        tokens_NT = torch.tensor(own_ids, device=vectors_ND.device).expand(rows, -1)
        with self.verbalizer.injection(vectors_ND, self.verbalizer.own_position):
            out = self.verbalizer.model(input_ids=tokens_NT, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return out.logits[:, -1].repeat_interleave(samples, dim=0), with_room(cache, rows, samples, limit)

    def _draw(self, logits_RV: Tensor, uniform_R1: Tensor, temperature: float | Tensor) -> tuple[Tensor, Tensor | None]:
        """Turn a uniform number for each row into a token, with its log-probability at temperature 1."""
        logits_RV = logits_RV.float()
        highest_R1 = logits_RV.amax(dim=-1, keepdim=True)
        if not bool(torch.isfinite(highest_R1).all()):
            raise ModelError(
                "the verbalizer's logits are not finite, so no token can be drawn; expected numbers. Its weights or its dtype "
                "overflow: load it in float32, or go back to an earlier checkpoint."
            )
        total_R1: Tensor | None = None
        if not isinstance(temperature, Tensor) and temperature == 0:
            tokens_R1 = logits_RV.argmax(dim=-1, keepdim=True)
        else:
            weights_RV = logits_RV - highest_R1
            if isinstance(temperature, Tensor):
                weights_RV /= temperature.clamp(min=1e-6)  # a number for the rows without any; they are overwritten
            elif temperature != 1:
                weights_RV /= temperature
            cumulative_RV = weights_RV.exp_().cumsum(dim=-1)
            tokens_R1 = invert(cumulative_RV, uniform_R1)
            if isinstance(temperature, Tensor):
                tokens_R1 = torch.where(temperature > 0, tokens_R1, logits_RV.argmax(dim=-1, keepdim=True))
            total_R1 = cumulative_RV[:, -1:] if not isinstance(temperature, Tensor) and temperature == 1 else None
        if not self.keep:
            return tokens_R1[:, 0], None
        chosen_R1 = logits_RV.gather(1, tokens_R1)
        if total_R1 is None:
            return tokens_R1[:, 0], (chosen_R1 - logits_RV.logsumexp(dim=-1, keepdim=True))[:, 0]
        return tokens_R1[:, 0], (chosen_R1 - highest_R1 - total_R1.log())[:, 0]

    def _ends(self, ids_RT: Tensor, row_R: Tensor, tokens_R: Tensor, t: int) -> Tensor:
        """Which rows end with the token at column ``t``: a stop token, or the last piece of the closing tag."""
        ends_R = torch.isin(tokens_R, self.stop_ids)
        if self.close_ids is not None and t + 1 >= len(self.close_ids):
            tail = ids_RT[row_R, t + 1 - len(self.close_ids) : t + 1]
            ends_R |= (tail == self.close_ids).all(dim=1)
        return ends_R


def invert(cumulative_RV: Tensor, uniform_R1: Tensor) -> Tensor:
    """Turn uniform numbers in [0, 1) into tokens, given running sums of weights; a token without weight is never chosen.

    The number is brought strictly below the last sum, so that the first sum above it exists, and the
    token there has added to it.
    """
    return torch.searchsorted(cumulative_RV, uniform_R1 * cumulative_RV[:, -1:] * (1 - 1e-6), right=True)


def _finish(verbalizer: Verbalizer, raw: _Decoded) -> list[Sample]:
    """Cut the rows at their lengths and parse them."""
    lengths, stopped = raw.lengths_R.tolist(), raw.stopped_R.tolist()
    ids = [row[:length] for row, length in zip(raw.ids_RT.tolist(), lengths, strict=True)]
    explanations = verbalizer.parse_batch(ids, stopped)
    # New tensors, because a loss may not use those made in inference mode.
    scores = None if raw.logp_RT is None else [torch.tensor(row) for row in raw.logp_RT.tolist()]
    return [
        Sample(ids[i], explanation.text, explanation.outcome, None if scores is None else scores[i][: lengths[i]])
        for i, explanation in enumerate(explanations)
    ]
