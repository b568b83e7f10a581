"""How probable a verbalizer finds the words of a claim."""

from __future__ import annotations

import pytest
import torch

from nlakit.claims.likelihood import span_log_probs, span_scores, token_spans
from nlakit.testing import tiny_pair

TEXTS = ["The cat sat by the door.", "a dog", "  Anna put the key in the box.  "]


def vectors(count: int) -> torch.Tensor:
    return torch.randn((count, 32), generator=torch.Generator().manual_seed(3))


def test_spans_of_a_whole_text_add_up_to_its_log_probability() -> None:
    """Every token of the text is in one of two spans that share none, whatever batch it is scored in."""
    verbalizer = tiny_pair().verbalizer
    vectors_ND = vectors(len(TEXTS))
    for row, text in enumerate(TEXTS):
        offsets = [span for span in token_spans(verbalizer, text) if span[1] > span[0]]
        inside = [span for span in offsets if span[0] >= 0 and span[1] <= len(text)]
        cut = inside[len(inside) // 2][0]
        spans = [(inside[0][0], cut), (cut, inside[-1][1])]
        halves = span_log_probs(verbalizer, vectors_ND, TEXTS, [spans if r == row else [] for r in range(3)])[row]
        whole = span_log_probs(verbalizer, vectors_ND[[row]], [text], [[(inside[0][0], inside[-1][1])]])[0][0]
        assert sum(halves) == pytest.approx(whole, abs=1e-4)


def test_a_span_scores_what_teacher_forcing_says_of_its_tokens() -> None:
    """The same number as from the log-probabilities of the completion, summed by hand."""
    verbalizer = tiny_pair().verbalizer
    vectors_ND, text = vectors(1), TEXTS[0]
    ids = verbalizer.encode_explanation(text)
    logp_1T, _ = verbalizer.log_probs(vectors_ND, [ids])
    start = text.index("cat")
    places = [i for i, (a, b) in enumerate(token_spans(verbalizer, text)) if a < start + 3 and b > start]
    found = span_log_probs(verbalizer, vectors_ND, [text], [[(start, start + 3)]])[0][0]
    assert places
    assert found == pytest.approx(float(logp_1T[0, places].detach().sum()), abs=1e-5)


def test_a_span_is_found_behind_broken_control_tokens() -> None:
    """Spellings of tags and special tokens are broken up before they are tokenised; words behind them stay where they are."""
    verbalizer = tiny_pair().verbalizer
    text = f" He wrote {verbalizer.prompts.close_tag} and {verbalizer.tokenizer.eos_token} near the red door."
    ids = verbalizer.encode_explanation(text)
    start = text.index("red")
    places = [i for i, (a, b) in enumerate(token_spans(verbalizer, text)) if a < start + 3 and b > start]
    assert verbalizer.tokenizer.decode([ids[place] for place in places]).strip() == "red"


def test_a_rival_is_the_likeliest_other_token() -> None:
    """Probability of the span's first token and of its rival are two of one distribution, and no third is above both."""
    verbalizer = tiny_pair().verbalizer
    found = span_scores(verbalizer, vectors(1), ["a dog"], [[(2, 5)]])[0][0]
    assert not found.contradicted
    assert -20 < found.rival < 0


def test_a_span_without_a_token_says_nothing() -> None:
    """An empty span has log-probability 0 and no rival."""
    found = span_scores(tiny_pair().verbalizer, vectors(1), ["a dog"], [[(1, 1)]])[0][0]
    assert (found.log_prob, found.contradicted) == (0.0, False)
