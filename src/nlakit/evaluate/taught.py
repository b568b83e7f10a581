"""What the teacher of a pair says of rows, for the measures that need its words."""

from __future__ import annotations

from nlakit.config import TargetConfig
from nlakit.data.annotate import ask_for_free, kept_answers
from nlakit.data.teachers import Source, load_teacher
from nlakit.errors import CardError, ConfigError, InputError, ModelError, NotFoundError, PairError, SpendingError
from nlakit.evaluate.bench import Bench
from nlakit.evaluate.rows import Rows
from nlakit.explanations import Explanation


def teacher_words(bench: Bench, rows: Rows) -> list[Explanation] | str:
    """Return what the teacher writes of rows, or in a few words why it cannot be asked.

    A teacher that is paid for is not paid again: only what it answered in the run is used.
    """
    config, card = bench.settings.annotate, bench.pair.card
    if config is None:
        return "the card does not say who its teacher was"
    target = TargetConfig(model=card.target.model, revision=card.target.revision, dtype=card.target.dtype)
    source = Source(target, card.target.fingerprint, card.site)
    try:
        return ask_for_free(load_teacher(config, source), rows.contexts(), kept_answers(bench.folder))
    except (NotFoundError, ConfigError, InputError, SpendingError, ModelError, CardError, PairError) as error:
        return f"the teacher {config.teacher!r} cannot be asked ({error})"
