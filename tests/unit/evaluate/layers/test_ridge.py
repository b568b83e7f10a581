"""Ridge regression from words to directions, against hand and library."""

from __future__ import annotations

import pytest
import torch

from nlakit.claims.probes import validation_rows
from nlakit.evaluate.layers.ridge import PENALTIES, DirectionRidge, Ridge, token_features, word_features
from nlakit.vectors import VectorStats, fve


def test_fve_equals_a_hand_computation() -> None:
    """Two rows, one feature: weights (-1, 1) / 3, so the answer is (1/6, 5/6) and its cosine 5 / √26; Var is a half."""
    inputs, vectors = torch.tensor([[-1.0], [1.0]]), torch.tensor([[3.0, 0.0], [0.0, 0.5]])

    ridge = DirectionRidge(inputs, torch.tensor([[1.0]]), ["one", "one"], seed=0)
    errors = ridge.errors(vectors, torch.tensor([[0.0, 7.0]]))

    assert 0.5 == pytest.approx(VectorStats.fit(vectors).variance)
    assert float(errors[0]) == pytest.approx(2 - 10 / 26**0.5)
    assert fve(errors, 0.5) == pytest.approx(1 - 2 * (2 - 10 / 26**0.5)) == pytest.approx(0.922323)


def test_answers_are_scikit_learns() -> None:
    """For every strength, with more features than rows and with fewer."""
    from sklearn.linear_model import Ridge as Reference

    generator = torch.Generator().manual_seed(0)
    for features in (3, 40):
        inputs, queries = (torch.randn(rows, features, generator=generator).double() for rows in (12, 5))
        outputs = torch.randn(12, 4, generator=generator).double()
        for penalty, answer in zip(PENALTIES, Ridge(inputs, queries).answers(outputs, PENALTIES), strict=True):
            reference = Reference(alpha=penalty).fit(inputs.numpy(), outputs.numpy()).predict(queries.numpy())
            torch.testing.assert_close(torch.from_numpy(reference), answer, atol=1e-8, rtol=1e-8)


def test_the_strength_is_chosen_on_documents_of_their_own() -> None:
    """Pure noise wants the strongest penalty, an exact relation a weak one."""
    generator = torch.Generator().manual_seed(1)
    documents = [f"d{row // 2}" for row in range(120)]
    assert 0 < validation_rows(documents, 0).sum() < len(documents)
    inputs = torch.randn(120, 6, generator=generator)
    exact = inputs @ torch.randn(6, 5, generator=generator) + 3.0
    noise = torch.randn(120, 5, generator=generator) + 3.0

    ridge = DirectionRidge(inputs, inputs, documents, seed=0)

    chosen = [ridge._choose(vectors / vectors.norm(dim=1, keepdim=True)) for vectors in (exact, noise)]
    assert chosen[0] < chosen[1] == PENALTIES[-1]


def test_words_and_pairs_are_features_of_norm_one() -> None:
    """The same text has the same features, the order of words matters, and no text has none."""
    features = word_features(["the red box.", "the red box.", "red the box.", ""])

    torch.testing.assert_close(torch.tensor([1.0, 1.0, 1.0, 0.0]), features.norm(dim=1))
    assert torch.equal(features[0], features[1])
    assert not torch.equal(features[0], features[2])


def test_tokens_are_columns_of_their_own() -> None:
    """A token that was not fitted is none of them."""
    fit, asked = token_features([7, 3, 7], [3, 9])

    assert [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]] == fit.tolist()
    assert [[1.0, 0.0], [0.0, 0.0]] == asked.tolist()
