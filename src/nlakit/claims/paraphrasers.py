"""Who says explanations in other words: the paraphraser of a corpus, or one that only changes the order."""

from __future__ import annotations

from collections.abc import Sequence

from nlakit import plugins
from nlakit.claims.sentences import capitals, shuffled
from nlakit.config import fingerprint
from nlakit.paraphrase import Paraphraser, Rewording


def paraphraser_of(corpus_name: str) -> Paraphraser | None:
    """Return the paraphraser that goes with a corpus, by the corpus's name; None when there is none."""
    if corpus_name not in plugins.names(plugins.PARAPHRASERS):
        return None
    found: Paraphraser = plugins.load(plugins.PARAPHRASERS, corpus_name)()
    return found


class Shuffler:
    """Puts sentences, and the clauses in them, into another order; understands no word, so it serves any text."""

    def fingerprint(self) -> str:
        """Never differs."""
        return fingerprint("shuffler")

    def reword(self, texts: Sequence[str], how: Rewording, seed: int) -> list[str]:  # noqa: ARG002 - there is one way
        """Return each text in another order."""
        return [shuffled(text, seed, capitals([text])) for text in texts]
