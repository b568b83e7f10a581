"""A pair: verbalizer and reconstructor with their card, and the target they read.

::

    pair/
      card.yaml, stats.safetensors   the contract, verified before any compute
      verbalizer/                    a Hugging Face causal language model with its tokenizer
      reconstructor/                 blocks 0..K, the head in value_head.safetensors, a tokenizer
      warm-start/                    optional: verbalizer/ and reconstructor/ as they were before reinforcement learning

Axes: N vectors or texts, T tokens, D width of a vector.
"""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from nlakit import plugins
from nlakit.card import CARD_FILE, Card
from nlakit.config import AUTO
from nlakit.errors import CardError, InputError, ModelError, PairError
from nlakit.explanations import Explanation
from nlakit.models.adapters import is_adapter
from nlakit.models.loading import DeviceMap
from nlakit.models.locate import WARM_START, locate
from nlakit.models.parts import (
    RECONSTRUCTOR,
    TAUGHT,
    VERBALIZER,
    load_reconstructor_of,
    load_target_of,
    load_verbalizer_of,
    moved_target,
)
from nlakit.models.readings import Reading, Score, ScoredExplanation, flags_for
from nlakit.models.reconstructor import Reconstructor
from nlakit.models.reference.hub import Half
from nlakit.models.reference.load import Sources, load_released, open_sources, released_card
from nlakit.models.sampler import sample
from nlakit.models.sites import Site
from nlakit.models.target import Target
from nlakit.models.verbalizer import Verbalizer
from nlakit.prompts import tokenizer_fingerprint
from nlakit.storage import atomic_folder
from nlakit.vectors import VectorStats, check_vectors, direction_error


def pair_folder(name_or_path: str | Path, revision: str | None = None) -> Path:
    """Return the folder of a pair with everything that it holds, fetched from the Hub if it is there.

    Raises as :func:`~nlakit.models.locate.locate` does, and ``PairError`` for a released pair.
    """
    found = locate(name_or_path, revision=revision, wanted="everything")
    if not isinstance(found, Path):
        raise PairError(
            f"{str(name_or_path)!r} is a pair in the layout of the releases, and a folder with a {CARD_FILE} is needed here; "
            f"'nlakit calibrate {name_or_path} --corpus FILE --out DIR' writes one."
        )
    return found


class Pair:
    """A verbalizer and a reconstructor that belong together.

    ``target`` is ``None`` when the pair was loaded without it; then vectors can be described and
    scored, and texts cannot be read.
    """

    def __init__(
        self,
        target: Target | None,
        verbalizer: Verbalizer,
        reconstructor: Reconstructor,
        card: Card,
        load_taught: Callable[[], Verbalizer | None] | None = None,
        find_earlier: Callable[[], Path | None] | None = None,
    ) -> None:
        """Put a pair together.

        ``load_taught`` loads the verbalizer as it was before reinforcement learning; ``find_earlier`` finds the folder with the
        weights from then.
        """
        self.target = target
        self.verbalizer = verbalizer
        self.reconstructor = reconstructor
        self.card = card
        self._find_earlier = find_earlier
        self._load_taught = load_taught

    @cached_property
    def taught(self) -> Verbalizer | None:
        """The verbalizer as the warm start taught it; ``None`` where the pair does not keep it.

        Loaded when it is first asked for, and fetched then from the Hub if the pair is there. Before reinforcement learning it is
        the verbalizer itself. Support asks it how probable a claim is: what reinforcement learning rewards, it says as if
        it were certain (LOG.md). Raises as :meth:`from_pretrained` does.
        """
        if "warm_start" in self.card.training and "train" not in self.card.training:
            return self.verbalizer
        return None if self._load_taught is None else self._load_taught()

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = plugins.DEFAULT_PAIR,
        *,
        device: str = AUTO,
        device_map: DeviceMap = None,
        load_target: bool = True,
        target: str | Path | None = None,
        part: str = ".",
        revision: str | None = None,
    ) -> Self:
        """Load and verify a pair; ``part="warm-start"`` takes the weights from before reinforcement learning.

        ``owner/name`` is a pair on the Hugging Face Hub at ``revision`` (a commit, tag or branch; ``None`` for the default
        branch), or the released pair in ``owner/name-av`` and ``owner/name-ar``; :mod:`nlakit.models.locate` says what is
        looked for in which order. ``device_map`` spreads the weights over several devices, as transformers does it.
        ``target`` is where the target lies now, when it is not where the card says.
        A pair of adapters is nothing without its target, which is then loaded whatever ``load_target`` says.
        Verified before anything is computed: the card against the live tokenizers and target, widths,
        finite weights, a head that training has moved, and that injected vectors arrive in the
        verbalizer and matter. Raises ``NotFoundError`` or ``PairError`` for what is no pair,
        ``CardError`` where card and models disagree, ``ModelError`` for damaged weights and what the Hub does not give,
        ``StorageFullError`` before a download that the disk has no room for.
        """
        folder = locate(name_or_path, revision=revision, wanted="pair" if part == "." else "everything")
        if not isinstance(folder, Path):
            if part != ".":
                raise PairError(f"{str(name_or_path)!r} is a released pair, which has no {part!r}.")
            return cls._assemble(open_sources(*folder), None, None, device, device_map, load_target, target)
        card = Card.load(folder)
        parts = folder / part
        absent = [name for name in (VERBALIZER, RECONSTRUCTOR) if not (parts / name).is_dir()]
        if absent:
            raise PairError(f"{str(parts)!r} is no pair: it has no folder {' and no folder '.join(absent)}.")
        live = None
        if load_target or any(is_adapter(parts / name) for name in (VERBALIZER, RECONSTRUCTOR)):
            live = load_target_of(card, target or moved_target(card, folder), device, device_map)
        verbalizer = load_verbalizer_of(card, parts, device, device_map, live)
        reconstructor = load_reconstructor_of(card, parts, device, device_map, live)

        def find_earlier() -> Path | None:
            earlier = pair_folder(name_or_path, revision) / WARM_START
            return earlier if earlier.is_dir() else None

        def load_taught() -> Verbalizer | None:
            if part == WARM_START:
                return verbalizer
            earlier = find_earlier()
            return None if earlier is None else load_verbalizer_of(card, earlier, device, device_map, live, TAUGHT)

        pair = cls(live, verbalizer, reconstructor, card, load_taught, find_earlier)
        pair.verify()
        return pair

    @classmethod
    def from_reference(
        cls,
        verbalizer: str | Path,
        reconstructor: str | Path,
        *,
        injection: str | None = None,
        base: str | Path | None = None,
        device: str = AUTO,
        device_map: DeviceMap = None,
        load_target: bool = True,
        target: str | Path | None = None,
        revision: str | None = None,
    ) -> Self:
        """Load a pair in the layout of the released checkpoints from two folders or two repositories.

        ``injection`` says where the vector goes in when the side file does not (``embedding``, or ``resid.1`` for the
        community's adapters, which add it at block 1), and ``base`` where the model under an adapter lies. Raises as
        :meth:`from_pretrained` does.
        """
        halves = [
            Half(str(half), Path(half)) if Path(half).is_dir() else Half(str(half))
            for half in (verbalizer, reconstructor)
        ]
        sources = open_sources(*halves, revision=revision)
        return cls._assemble(sources, injection, base, device, device_map, load_target, target)

    @classmethod
    def _assemble(
        cls,
        sources: Sources,
        injection: str | None,
        base: str | Path | None,
        device: str,
        device_map: DeviceMap,
        load_target: bool,
        target: str | Path | None,
    ) -> Self:
        """Load and verify a released pair."""
        card = released_card(sources, injection=injection)
        halves = load_released(sources, card, device=device, device_map=device_map, base=base)
        live = load_target_of(card, target, device, device_map) if load_target else None
        pair = cls(live, *halves, card)
        pair.verify()
        return pair

    def with_statistics(self, vectors_ND: Tensor) -> Self:
        """Return this pair with mean and variance of these raw vectors of its site on the card, so that FVEs can be given.

        Raises ``InputError`` for vectors of the wrong width, or too few of them.
        """
        stats = VectorStats.fit(check_vectors(vectors_ND, self.card.target.d_model))
        return self.with_card(self.card.model_copy(update={"stats": stats}))

    def with_card(self, card: Card) -> Self:
        """Return this pair under another card, with the same weights."""
        other = copy.copy(self)
        other.card = card
        return other

    def verify(self) -> None:
        """Check card, tokenizers, widths and weights against each other, and prove the injection."""
        self.card.verify_tokenizer(self.verbalizer.tokenizer)
        self.verify_parts()
        self.verify_head()
        self.verbalizer.self_check()

    def verify_parts(self) -> None:
        """Check that target, verbalizer and reconstructor are those that the card declares, by fingerprints and widths."""
        card, width = self.card, self.card.target.d_model
        known = card.target.tokenizer_fingerprint
        if known is not None and tokenizer_fingerprint(self.reconstructor.tokenizer) != known:
            raise CardError("the reconstructor's tokenizer is not the one that the card declares.")
        if self.target is not None:
            card.verify_target(self.target)
            card.verify_fingerprint(self.target.tokenizer)
            Site.parse(card.site).check(self.target)
        for name, found in ((VERBALIZER, self.verbalizer.width), (RECONSTRUCTOR, self.reconstructor.width)):
            if found != width:
                raise CardError(f"the {name} works with vectors of width {found}, and the card declares {width}.")

    @property
    def trained(self) -> bool:
        """Whether the pair was trained, here or elsewhere."""
        return bool(self.card.training or self.card.source)

    def verify_head(self) -> None:
        """Check that training has moved the reconstructor's head from the identity, where it starts."""
        head = self.reconstructor.value_head.weight
        if self.trained and torch.equal(head, torch.eye(*head.shape, device=head.device)):
            raise ModelError(
                "the reconstructor's head is the identity it started from, though the pair is a trained one; "
                "its weights were not saved."
            )

    def save(self, folder: str | Path, *, dtype: str | None = None, warm_start: str | Path | None = None) -> Path:
        """Write the pair as one atomic folder; returns it.

        ``dtype="bfloat16"`` halves the size (heads stay float32). ``warm_start`` is the folder of the
        pair as it was before reinforcement learning; its weights are kept beside the final ones.
        """
        folder = Path(folder)
        with atomic_folder(folder) as work:
            self.card.save(work)
            self.verbalizer.save(work / VERBALIZER, dtype)
            self.reconstructor.save(work / RECONSTRUCTOR, dtype)
            if warm_start is not None:
                self._save_warm_start(Path(warm_start), work / WARM_START, dtype)
        return folder

    def _save_warm_start(self, source: Path, folder: Path, dtype: str | None) -> None:
        """Copy the weights of the earlier pair, cast like the others."""
        absent = [name for name in (VERBALIZER, RECONSTRUCTOR) if not (source / name).is_dir()]
        if absent:
            raise PairError(f"{str(source)!r} is no warm start: it has no folder {' and no folder '.join(absent)}.")
        if dtype is None or is_adapter(source / VERBALIZER):
            for name in (VERBALIZER, RECONSTRUCTOR):
                shutil.copytree(source / name, folder / name)
            return
        scale, limit = self.card.injection_scale, self.card.max_new_tokens
        earlier = Verbalizer.load(source / VERBALIZER, self.card.prompts, injection_scale=scale, max_new_tokens=limit)
        earlier.save(folder / VERBALIZER, dtype)
        Reconstructor.load(source / RECONSTRUCTOR, self.card.prompts).save(folder / RECONSTRUCTOR, dtype)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool = True,
        revision: str | None = None,
        target: str | None = None,
        licence: str | None = None,
        dtype: str | None = None,
        warm_start: str | Path | bool = True,
        message: str | None = None,
    ) -> str:
        """Publish the pair on the Hugging Face Hub as ``owner/name``, with a model card; returns the commit's address.

        The repository is made if it is not there, ``private`` unless that is switched off; ``revision`` is the branch to
        commit to. ``target`` is the repository of the target, ``owner/name[@revision]``, needed where the card names a
        folder. ``licence`` is the identifier of the target's licence, where neither the Hub nor its package names one. ``dtype``
        is that of :meth:`save`. ``warm_start`` is the folder of the pair as it was before reinforcement learning, which
        support asks; ``True`` for what is where the pair was loaded from, ``False`` to publish none. The token is the one of
        ``hf auth login``, or ``HF_TOKEN``. Nobody is asked; ``nlakit push`` shows first what would be uploaded. Raises
        ``PublishError`` for what may not leave this machine or the Hub refuses, and ``UnreachableError`` without a network; then
        nothing was published.
        """
        from nlakit.publish.push import push_pair

        if isinstance(warm_start, bool):
            earlier = self._find_earlier() if warm_start and self._find_earlier is not None else None
        else:
            earlier = Path(warm_start)
        with tempfile.TemporaryDirectory(prefix="nlakit-") as work:
            folder = self.save(Path(work) / "pair", dtype=dtype, warm_start=earlier)
            return push_pair(
                folder, repo_id, private=private, revision=revision, target=target, licence=licence, message=message
            )

    def read(
        self,
        content: str | Sequence[Mapping[str, str]],
        *,
        positions: Sequence[int] | None = None,
        samples: int = 1,
        temperature: float = 1.0,
        seed: int = 0,
        support: bool = False,
    ) -> list[Reading]:
        """Read the vectors of a text, or of chat messages put through the target's chat template.

        ``positions`` are token indices, negative ones counted from the end; ``None`` reads every token. With ``support``
        every explanation has its claims with how far to believe each (:mod:`nlakit.claims.support`), for which further
        explanations are sampled, of these vectors and of their neighbours.
        Raises ``InputError`` for an empty or too long text and for positions outside it,
        ``PairError`` when the pair was loaded without its target, and with ``support`` ``CardError`` for a card without a
        variance.
        """
        if self.target is None:
            raise PairError("this pair was loaded without its target and cannot read text; pass load_target=True.")
        if support:
            self.card.require_stats()  # refused before anything is sampled
        if isinstance(content, str):
            # Read as the rows of a corpus are: what looks like a special token is ordinary text.
            encoded = self.target.encode(content, literal=True)
        else:
            encoded = self.target.encode(self.target.render(content))
        chosen = resolve_positions(positions, len(encoded))
        tokens_1T = torch.tensor([encoded.ids], device=self.target.device)
        vectors_TD = Site.parse(self.card.site).read(self.target, tokens_1T)[0].float().cpu()
        vectors_ND = vectors_TD[chosen]
        explanations = self.describe(vectors_ND, samples=samples, temperature=temperature, seed=seed)
        scored = self.scored(explanations, vectors_ND.repeat_interleave(samples, dim=0))
        norms_T = vectors_TD.norm(dim=-1)
        special = set(self.target.tokenizer.all_special_ids)
        readings = [
            Reading(
                position=position,
                token_id=encoded.ids[position],
                token=encoded.tokens[position],
                norm=float(norms_T[position]),
                explanations=scored[index * samples : (index + 1) * samples],
                flags=flags_for(encoded.ids, norms_T, position, special, self.card.min_position),
            )
            for index, position in enumerate(chosen)
        ]
        if support:
            from nlakit.claims.reading import with_support

            readings = with_support(self, readings, encoded.ids, special, vectors_TD, seed)
        return readings

    def describe(
        self, vectors_ND: Tensor, *, samples: int = 1, temperature: float = 1.0, seed: int = 0
    ) -> list[Explanation]:
        """Put raw vectors into words: N x samples explanations, those of a vector together.

        Raises ``InputError`` for vectors of the wrong width or with values that are not finite.
        """
        found = sample(self.verbalizer, vectors_ND, samples=samples, temperature=temperature, seed=seed)
        return [item.explanation for item in found]

    def reconstruct(self, texts: Sequence[str]) -> Tensor:
        """Turn explanations into ``vectors_ND`` on the CPU; only their directions mean anything."""
        return self.reconstructor.reconstruct(texts).cpu()

    def score(self, texts: Sequence[str], vectors_ND: Tensor) -> list[Score]:
        """Score how well each text rebuilds its vector.

        Raises ``InputError`` when the numbers of texts and vectors differ, a vector is zero, not
        finite or of the wrong width.
        """
        vectors_ND = check_vectors(vectors_ND, self.card.target.d_model)
        if len(texts) != len(vectors_ND):
            raise InputError(
                f"{len(texts)} texts and {len(vectors_ND)} vectors do not go together; give one text for each."
            )
        if not texts:
            return []
        errors = direction_error(self.reconstruct(texts), vectors_ND.cpu()).tolist()
        stats = self.card.stats
        return [Score(e, 1 - e / 2, None if stats is None else 1 - e / stats.variance) for e in errors]

    def scored(self, explanations: Sequence[Explanation], vectors_ND: Tensor) -> list[ScoredExplanation]:
        """Score explanations against their vectors: those that succeeded and fit into the reconstructor's window.

        A failed explanation is never scored as text.
        """
        ok = [row for row, explanation in enumerate(explanations) if explanation.ok]
        ids = self.reconstructor.fitting_ids([explanations[row].text for row in ok])
        ok = [row for row, found in zip(ok, ids, strict=True) if found is not None]
        scores = dict(zip(ok, self.score([explanations[row].text for row in ok], vectors_ND[ok]), strict=True))
        return [ScoredExplanation(item.text, item.outcome, scores.get(row)) for row, item in enumerate(explanations)]


def load_card(name_or_path: str | Path, revision: str | None = None) -> Card:
    """Read a pair's card; no weights are fetched, and for a released pair it is built from the side files.

    Raises as :meth:`Pair.from_pretrained` does.
    """
    found = locate(name_or_path, revision=revision, wanted="card")
    if isinstance(found, Path):
        return Card.load(found)
    return released_card(open_sources(*found, weights=False))


def resolve_positions(positions: Sequence[int] | None, length: int) -> list[int]:
    """Turn negative positions into positive ones; raises ``InputError`` naming those outside the text."""
    if positions is None:
        return list(range(length))
    outside = [position for position in positions if not -length <= position < length]
    if outside:
        shown = ", ".join(map(str, outside[:5])) + (f" and {len(outside) - 5} more" if len(outside) > 5 else "")
        raise InputError(f"positions {shown} are outside the text, which has {length} tokens (0 to {length - 1}).")
    return [position % length for position in positions]
