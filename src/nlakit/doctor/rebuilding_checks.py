"""Checks of the reconstructor and of what is shown with a reading: the head, the token it reads, padding, scores, flags.

Axes: N texts, T tokens, D width of a vector.
"""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from nlakit.doctor.findings import Result, failure, held, not_applicable, passed, warning
from nlakit.doctor.subject import EXPLANATIONS, TEXTS, Subject, apart, present
from nlakit.doctor.target_checks import ROLE, filling, padded
from nlakit.models.inject import tolerance
from nlakit.models.pair import Pair
from nlakit.models.parts import RECONSTRUCTOR
from nlakit.models.readings import EARLY_TOKEN, OUTLIER_FACTOR, OUTLIER_NORM, SPECIAL_TOKEN, flags_for
from nlakit.models.reconstructor import Reconstructor, load_head, save_head
from nlakit.train.rollout import text_errors
from nlakit.vectors import direction_error

NORMS = (0.01, 100.0)
"""A rebuilt vector's norm may be this much of the norm of real ones (our choice: only directions are trained)."""
EARLY = 10
"""Tokens at the start of a text that every reading must flag: few words describe their vectors."""
DIAGONAL = 0.05
"""Least mean of a trained head's diagonal, which starts at 1; that of a random head is 0 (our choice)."""


def head_on_the_disk_is_sound(subject: Subject) -> Result:
    """Read the head's file by itself: finite numbers, which equal those of the head that was loaded."""
    head = load_head(present(subject.folder) / RECONSTRUCTOR)
    if subject.reconstructor is None:
        return passed("the head's file can be read and holds finite numbers")
    live = subject.reconstructor.value_head.weight.detach().float().cpu()
    same = torch.equal(live, head.weight)
    return held(
        same,
        "the head in memory is the one in its file" if same else "the head in memory is not the one in its file",
        "Whatever loads the reconstructor must load value_head.safetensors too (nlakit.models.reconstructor.Reconstructor.load).",
    )


def head_is_exact_and_finite(subject: Subject) -> Result:
    """Look at the live head's number type and values, and write it and read it back."""
    head = present(subject.reconstructor).value_head
    dtype, bad = str(head.weight.dtype).removeprefix("torch."), int((~torch.isfinite(head.weight)).sum())
    found = f"the head is {dtype} with {bad} of {head.weight.numel():,} numbers not finite"
    if dtype != "float32" or bad:
        return failure(found)
    with tempfile.TemporaryDirectory() as folder:
        save_head(head, Path(folder))
        moved = float((load_head(Path(folder)).weight - head.weight).detach().abs().max())
    return held(moved == 0, f"{found}; written and read back it moves by {moved:g}")


def head_starts_as_identity(subject: Subject) -> Result:
    """See that the head of a pair that was not trained is the identity, so that training begins at the model's own vectors."""
    if present(subject.pair).trained:
        return not_applicable("the pair was trained")
    weight_DD = present(subject.reconstructor).value_head.weight.detach().cpu()
    off = float((weight_DD - torch.eye(*weight_DD.shape)).abs().max())
    return held(off == 0, f"the untrained head is {off:.2g} away from the identity")


def head_was_trained(subject: Subject) -> Result:
    """See that a trained head has left its start, and is no random one: something of the identity is left."""
    pair = present(subject.trained)
    pair.verify_head()
    weight_DD = pair.reconstructor.value_head.weight.detach().cpu()
    moved = float((weight_DD - torch.eye(*weight_DD.shape)).norm()) / weight_DD.shape[1] ** 0.5
    diagonal = float(weight_DD.diagonal().mean())
    found = f"the head moved by {moved:.1%} of the identity's size, and its diagonal is {diagonal:.2f} on average"
    if diagonal >= DIAGONAL:
        return passed(found)
    return warning(found, "That looks like a random start: load the head from the checkpoint that was trained.")


def rebuilt_norms_are_in_range(subject: Subject) -> Result:
    """Rebuild vectors from texts, and hold their norms against those of real vectors; they must differ from text to text."""
    reconstructor = present(subject.reconstructor)
    rebuilt_ND = reconstructor.reconstruct(EXPLANATIONS).cpu()
    share = float(rebuilt_ND.norm(dim=1).median() / subject.rows.vectors_ND.norm(dim=1).median())
    differ = float(direction_error(rebuilt_ND[:1], rebuilt_ND[1:2]))
    found = f"rebuilt vectors have {share:.2g} times the norm of real ones, and two texts differ by an error of {differ:.3g}"
    return held(NORMS[0] <= share <= NORMS[1] and differ > 0, found)


def last_real_token_is_read(subject: Subject) -> Result:
    """Rebuild texts one by one, padded on the right, padded on the left, and as a whole list; all must agree."""
    reconstructor = present(subject.reconstructor)
    ids = reconstructor.token_ids(EXPLANATIONS)
    alone_ND = _alone(reconstructor, ids)
    fill, _ = filling(reconstructor.tokenizer)
    ways = {side: _padded(reconstructor, ids, fill, side) for side in ("right", "left")}
    ways["batched"] = reconstructor.reconstruct(EXPLANATIONS)
    differences = {way: apart(alone_ND, vectors_ND, reconstructor.backbone) for way, vectors_ND in ways.items()}
    shown = ", ".join(f"{difference:.2%} ({way})" for way, difference in differences.items())
    return held(
        max(differences.values()) < tolerance(reconstructor.backbone),
        f"vectors rebuilt alone differ from padded and batched ones by {shown}",
    )


@torch.no_grad()
def _alone(reconstructor: Reconstructor, ids: list[list[int]]) -> Tensor:
    """Rebuild each tokenised text by itself; no padding, no mask to speak of."""
    rows = [torch.tensor([row], device=reconstructor.device) for row in ids]
    return torch.cat([reconstructor(tokens_1T, torch.ones_like(tokens_1T, dtype=torch.bool)) for tokens_1T in rows])


@torch.no_grad()
def _padded(reconstructor: Reconstructor, ids: list[list[int]], fill: int, side: str) -> Tensor:
    tokens_BT, mask_BT = padded(ids, fill, side)
    vectors_ND: Tensor = reconstructor(tokens_BT.to(reconstructor.device), mask_BT.to(reconstructor.device))
    return vectors_ND


def reward_is_the_trained_error(subject: Subject) -> Result:
    """Score texts by the path that gives rewards and by the one that readings use: one error, whoever asks."""
    reconstructor, vectors_ND = present(subject.reconstructor), subject.rows.vectors_ND[: len(EXPLANATIONS)]
    with torch.no_grad():
        ids = reconstructor.token_ids(EXPLANATIONS)
        trained_N = text_errors(reconstructor, ids, vectors_ND, "doctor").cpu()
    read_N = direction_error(reconstructor.reconstruct(EXPLANATIONS).cpu(), vectors_ND.float().cpu())
    gap = float((trained_N - read_N).abs().max())
    return held(
        gap < 4 * tolerance(reconstructor.backbone),
        f"errors in training and in reading are within {gap:.2g} of each other",
    )


def explanations_may_hold_the_fill(subject: Subject) -> Result:
    """Rebuild token sequences that hold the token which fills padding, alone and padded with it."""
    reconstructor = present(subject.reconstructor)
    fill, words = filling(reconstructor.tokenizer)
    ids = [[*row[:2], fill, *row[2:], fill] for row in reconstructor.token_ids(EXPLANATIONS)]
    alone_ND = _alone(reconstructor, ids)
    ways = [_padded(reconstructor, ids, fill, side) for side in ("right", "left")]
    worst = max(apart(alone_ND, vectors_ND, reconstructor.backbone) for vectors_ND in ways)
    return held(
        worst < tolerance(reconstructor.backbone),
        f"{words}; a vector rebuilt from tokens that hold the latter moves by {worst:.2%} when padded with it",
    )


def readings_are_flagged(subject: Subject) -> Result:
    """Read an early and a late token, and the special tokens of a chat, and look for their flags."""
    pair = present(subject.reader)
    target, first = present(pair.target), max(EARLY, pair.card.min_position)
    quick = copy.copy(pair.verbalizer)
    quick.max_new_tokens = 1  # the flags do not depend on the words
    reader = Pair(target, quick, pair.reconstructor, pair.card)
    late = min(first, len(target.encode(TEXTS[0], literal=True)) - 1)
    early, later = reader.read(TEXTS[0], positions=[1, late])
    missing = [] if EARLY_TOKEN in early.flags else ["position 1 is not flagged as early"]
    if EARLY_TOKEN in later.flags and late >= first:
        missing.append(f"position {late} is flagged as early")
    special = set(target.tokenizer.all_special_ids)
    if target.tokenizer.chat_template:
        chat = [{"role": ROLE, "content": TEXTS[1]}]
        ids = target.encode(target.render(chat)).ids
        places = [place for place, token in enumerate(ids) if token in special][-2:]
        flags = [reading.flags for reading in reader.read(chat, positions=places)] if places else []
        missing += ["a special token is not flagged" for found in flags if SPECIAL_TOKEN not in found][:1]
    norms_T = torch.ones(21)
    norms_T[20] = 2 * OUTLIER_FACTOR
    if OUTLIER_NORM not in flags_for([-1] * 21, norms_T, 20, special, first):
        missing.append(f"a norm {2 * OUTLIER_FACTOR:g} times the others' is not flagged")
    return held(
        not missing,
        "; ".join(missing) or f"tokens before position {first}, special tokens and outliers are flagged",
    )
