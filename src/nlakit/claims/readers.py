"""Who reads claims from an explanation: the truth plugin of a corpus, or frames learnt from explanations.

Of a truth plugin only its knowledge of the language is used here, never what is true.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from typing import Any

from nlakit import plugins
from nlakit.card import Card
from nlakit.claims.anytext import FrameReader
from nlakit.claims.exchange import ClaimReader, Pool
from nlakit.truth import TruthReader

TEXTS = 5000
"""Taught texts that the values of slots are counted in."""


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
    corpus, silence = card.data.get("corpus", {}).get("name", ""), card.data.get("ground", {}).get("silence", "")
    frames = {"frames": card.data.get("claims", {}).get("frames", {})}
    return truth_reader(corpus) or FrameReader.from_json(frames, silence)


def claim_values(card: Card) -> Pool:
    """Return what values each slot had in the texts that a pair was taught; none for a card that does not keep them.

    They are what claims are exchanged for, so that the leverage of a claim does not hang on what else is read.
    """
    return Pool(card.data.get("claims", {}).get("values", {}))


def kept_claims(reader: ClaimReader, texts: Iterable[str]) -> dict[str, Any]:
    """Return what a card keeps to read and to exchange claims by; :func:`claim_reader` and :func:`claim_values` read it."""
    frames = reader.to_json() if isinstance(reader, FrameReader) else {}
    pool = Pool.of(claim for text in islice(texts, TEXTS) for claim in reader.claims(text))
    return {**frames, "values": pool.frequent().values}


def fitted_reader(corpus_name: str, texts: Iterable[str], *, any_text: bool = False, silence: str = "") -> ClaimReader:
    """Return who reads the claims of a teacher's explanations; frames are learnt from them where nobody knows the language.

    With ``any_text`` they are learnt even so. A text that is ``silence`` claims nothing.
    """
    known = None if any_text else truth_reader(corpus_name)
    return known or replace(FrameReader.fit(text for text in texts if text != silence), silence=silence)
