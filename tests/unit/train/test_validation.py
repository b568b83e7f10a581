import pytest
import torch

from nlakit.explanations import Outcome
from nlakit.models.sampler import Sample
from nlakit.testing import tiny_pair
from nlakit.train import validation
from nlakit.train.validation import ValidationRows, cross_entropies, reconstruct_samples, round_trip
from nlakit.vectors import direction_error, fve


@pytest.fixture
def rows() -> ValidationRows:
    vectors_ND = torch.randn((4, 32), generator=torch.Generator().manual_seed(2))
    return ValidationRows(vectors_ND, ["a", "b", "c", "d"], torch.tensor([1, 2, 3, 0]))


def test_cross_entropies_by_hand(rows: ValidationRows) -> None:
    """Each value is minus the summed log-probability over all tokens, divided by their number."""
    verbalizer = tiny_pair().verbalizer
    ids = [verbalizer.encode_explanation(text) for text in ("the cat", "a key in the box", "the dog", "two pears")]
    got = cross_entropies(verbalizer, rows, ids)
    tokens = sum(map(len, ids))
    for name, vectors_ND in (
        ("true", rows.vectors_ND),
        ("shuffled", rows.vectors_ND.roll(-1, 0)),
        ("zero", torch.zeros(4, 32)),
    ):
        with torch.no_grad():
            expected = -verbalizer.log_probs(vectors_ND, ids)[0].sum() / tokens
        assert got[f"cross_entropy_{name}"] == pytest.approx(float(expected), abs=1e-5)


def test_a_verbalizer_that_ignores_its_vector_shows_no_contrast(rows: ValidationRows) -> None:
    """With an injection too small to matter all three cross-entropies are one number."""
    pair = tiny_pair(injection_scale=1e-6)
    ids = [pair.verbalizer.encode_explanation("the cat sat")] * 4
    got = cross_entropies(pair.verbalizer, rows, ids)
    assert got["cross_entropy_shuffled"] == pytest.approx(got["cross_entropy_true"], abs=1e-4)


def test_failed_samples_are_not_reconstructed() -> None:
    """A failed sample's row is zeros and marked; the usable one is the reconstruction of its text."""
    reconstructor = tiny_pair().reconstructor
    samples = [Sample([1], "left behind", Outcome.CUT_OFF), Sample([1], "the cat", Outcome.OK)]
    vectors_ND, usable_N = reconstruct_samples(reconstructor, samples)
    assert usable_N.tolist() == [False, True]
    assert vectors_ND[0].abs().max() == 0
    assert torch.allclose(vectors_ND[1], reconstructor.reconstruct(["the cat"])[0], atol=1e-5)


def test_round_trip_pairs_texts_with_the_right_vectors(rows: ValidationRows, monkeypatch: pytest.MonkeyPatch) -> None:
    """Own text against own vector, another row's text against own vector, and the text of no vector."""
    pair = tiny_pair()
    texts = ["the cat", "a key in the box", "the dog", "two pears"]

    def told(verbalizer: object, vectors_ND: torch.Tensor, **options: object) -> list[Sample]:
        names = texts if vectors_ND.abs().sum() > 0 else ["nothing"] * len(vectors_ND)
        return [Sample(pair.verbalizer.encode_explanation(name), name, Outcome.OK) for name in names]

    monkeypatch.setattr(validation, "sample", told)
    got = round_trip(pair.verbalizer, pair.reconstructor, rows, variance=0.9, max_new_tokens=8, seed=0)
    own_ND = pair.reconstructor.reconstruct(texts)
    blank_ND = pair.reconstructor.reconstruct(["nothing"] * 4)
    assert got["fve_validation"] == pytest.approx(fve(direction_error(own_ND, rows.vectors_ND), 0.9), abs=1e-5)
    shuffled_ND = own_ND[[1, 2, 3, 0]]
    assert got["fve_shuffled"] == pytest.approx(fve(direction_error(shuffled_ND, rows.vectors_ND), 0.9), abs=1e-5)
    assert got["fve_zero"] == pytest.approx(fve(direction_error(blank_ND, rows.vectors_ND), 0.9), abs=1e-5)
    assert got["parse_rate_validation"] == 1.0


def test_round_trip_counts_failures_with_error_two(rows: ValidationRows, monkeypatch: pytest.MonkeyPatch) -> None:
    """When every output fails, FVE is 1 - 2 / variance, for the controls as well."""
    pair = tiny_pair()

    def failing(verbalizer: object, vectors_ND: torch.Tensor, **options: object) -> list[Sample]:
        return [Sample([5, 6], "text", Outcome.CUT_OFF)] * len(vectors_ND)

    monkeypatch.setattr(validation, "sample", failing)
    got = round_trip(pair.verbalizer, pair.reconstructor, rows, variance=0.8, max_new_tokens=8, seed=0)
    assert [got[key] for key in ("fve_validation", "fve_shuffled", "fve_zero")] == pytest.approx([1 - 2 / 0.8] * 3)


def test_round_trip_is_repeatable(rows: ValidationRows) -> None:
    """The same weights and seed give the same numbers, so that a change is the training's."""
    pair = tiny_pair()
    first, second = (
        round_trip(pair.verbalizer, pair.reconstructor, rows, variance=0.9, max_new_tokens=6, seed=3) for _ in range(2)
    )
    assert first == second
