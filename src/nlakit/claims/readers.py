"""Who reads claims from an explanation: the truth plugin of a corpus, or frames learnt from explanations.

Of a truth plugin only its knowledge of the language is used here, never what is true.
"""

from __future__ import annotations

from collections.abc import Iterable

from nlakit import plugins
from nlakit.card import Card
from nlakit.claims.anytext import FrameReader
from nlakit.claims.exchange import ClaimReader
from nlakit.truth import TruthReader


def truth_reader(corpus_name: str) -> TruthReader | None:
    """Return the truth plugin that goes with a corpus, by the corpus's name; None when there is none."""
    if corpus_name not in plugins.names(plugins.TRUTH):
        return None
    reader: TruthReader = plugins.load(plugins.TRUTH, corpus_name)()
    return reader


def claim_reader(card: Card) -> ClaimReader:
    """Return who reads the claims of a pair's explanations.

    That is the truth plugin of its corpus, or else the frames that its card keeps; without either every clause is one claim.
    """
    corpus = card.data.get("corpus", {}).get("name", "")
    return truth_reader(corpus) or FrameReader.from_json(card.data.get("claims", {"frames": {}}))


def fitted_reader(corpus_name: str, texts: Iterable[str], *, any_text: bool = False) -> ClaimReader:
    """Return who reads the claims of a teacher's explanations; frames are learnt from them where nobody knows the language.

    With ``any_text`` they are learnt even so.
    """
    known = None if any_text else truth_reader(corpus_name)
    return known or FrameReader.fit(texts)
