"""Who reads claims from an explanation: the truth plugin of a corpus."""

from __future__ import annotations

from nlakit import plugins
from nlakit.truth import TruthReader


def truth_reader(corpus_name: str) -> TruthReader | None:
    """Return the truth plugin that goes with a corpus, by the corpus's name; None when there is none."""
    if corpus_name not in plugins.names(plugins.TRUTH):
        return None
    reader: TruthReader = plugins.load(plugins.TRUTH, corpus_name)()
    return reader
