"""The model card of a pair: the page that stands on the Hub, written from the pair's own card.

Every number comes from the card; what was not measured or not recorded is said to be so. The words for how far a pair can be
trusted are those of the report (:mod:`nlakit.evaluate.verdict`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from nlakit.card import REPLACE, Card
from nlakit.evaluate.definitions.reconstruction import CONTROLS, OUTPUT, RECONSTRUCTION
from nlakit.evaluate.definitions.truth import HELD, TRUTH
from nlakit.evaluate.definitions.use import USE
from nlakit.evaluate.evaluation import Number, by_reason, numbers_of
from nlakit.evaluate.measures import REGISTRY, in_registry_order
from nlakit.evaluate.verdict import TRUST_WORDS, Summary, interval, number, summarise
from nlakit.models.sites import Site
from nlakit.publish.base import Base

LIBRARY = "nlakit"
TAGS = (LIBRARY, "natural-language-autoencoder", "interpretability", "activations")
INDEXED = ("fve", "fve_greedy", "claims_true")
"""Measures that the Hub's own index of results is given."""
UNITS = {"tokens": ", tokens", "nats/token": ", nats a token"}
PLURALS = {"theme": "themes", "entity": "entities", "detail": "details"}
NOT_RECORDED = "not recorded"
UNMEASURED = "Nothing was measured: take every explanation as a guess."
EXAMPLE = "One morning, Mia put the key in the box."

EXPECTED = (RECONSTRUCTION, CONTROLS, OUTPUT, TRUTH, HELD, USE)
"""Groups of measures that are told to be missing where they are."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What the card keeps of its evaluation, as the sentences want it."""

    numbers: dict[str, Number]
    documents: int | None
    max_new_tokens: int
    statistics: str = ""
    """Nothing: cards keep results of pairs that were made here alone."""
    unchecked: bool = False
    """A card shows no readings, and says in a section of its own when claims were not checked."""

    @classmethod
    def of(cls, card: Card) -> Kept:
        """Read it."""
        limit = int(card.measured.get("max_new_tokens", card.max_new_tokens))
        return cls(numbers_of(card.results), card.measured.get("documents"), limit)


def model_card(card: Card, base: Base, *, repository: str | None = None, adapters: bool = False) -> str:
    """Return README.md for a pair.

    ``base`` is what is known of the target beyond the card, ``repository`` the name that the pair is published under, and
    ``adapters`` whether both halves are adapters, which need the target's weights.
    """
    kept = Kept.of(card)
    summary = summarise(kept)
    name = repository or card.name
    sections = (
        [f"# {name.rpartition('/')[2]}", *_introduction(card, base, summary)],
        ["## What it reads", *_reads(card, base)],
        ["## How to use it", *_use(name, adapters)],
        ["## What was measured", *_measured(card, kept)],
        ["## Whether the claims are true", *_claims(card, kept)],
        ["## How far to trust it", *_trust(kept, summary)],
        ["## How it was made", *_made(card)],
        ["## What is not known", *_unknown(card, base)],
        ["## Licence", *_licence(card, base, adapters)],
    )
    body = "\n\n".join("\n\n".join(section) for section in sections)
    return f"---\n{_front_matter(card, base, name, adapters)}\n---\n\n{body}\n"


# ---- the part for programs ------------------------------------------------------------------------


def _front_matter(card: Card, base: Base, name: str, adapters: bool) -> str:
    """Return the metadata that the Hub reads: licence, base model, library, tags, results."""
    corpus = {} if card.source else card.data.get("corpus", {})  # a pair made elsewhere was only measured on it
    dataset = corpus.get("options", {}).get("name") if corpus.get("name") == "datasets" else None
    results = [_result(card, measure, dataset) for measure in INDEXED if measure in numbers_of(card.results)]
    fields: dict[str, Any] = {**base.licence} or {"license": "unknown"}
    if base.on_hub:
        fields |= {"base_model": card.target.model, "base_model_relation": "adapter" if adapters else "finetune"}
    data = ModelCardData(
        **fields,
        library_name=LIBRARY,
        pipeline_tag="text-generation",
        tags=list(TAGS),
        datasets=[dataset] if dataset else None,
        model_name=name.rpartition("/")[2],
        eval_results=results or None,
    )
    return data.to_yaml().strip()


def _result(card: Card, name: str, dataset: str | None) -> EvalResult:
    """Return one measure for the Hub's index of results, with its interval."""
    measure, corpus = card.results[name], str(card.data.get("corpus", {}).get("name", "unknown"))
    return EvalResult(
        task_type="text-generation",
        task_name="explanation of activations",
        dataset_type=dataset or corpus,
        dataset_name=dataset or corpus,
        dataset_split=measure.split,
        metric_type=name,
        metric_name=REGISTRY[name].title if name != "fve" else "FVE of the round trip",
        metric_value=measure.value,
        metric_args={"low": measure.low, "high": measure.high, "n": measure.n},
    )


# ---- the part for people --------------------------------------------------------------------------


def _introduction(card: Card, base: Base, summary: Summary) -> list[str]:
    what = (
        f"A Natural Language Autoencoder for {_target(card, base)}: a *verbalizer* puts one activation vector of that model into "
        "words, and a *reconstructor* rebuilds the vector from the words alone. How well that succeeds is how the words are "
        "checked."
    )
    return [what, f"**{summary.headline if card.results else UNMEASURED}**"]


def _reads(card: Card, base: Base) -> list[str]:
    target, site = card.target, Site.parse(card.site)
    revision = target.revision or ("its default branch" if base.on_hub else "as installed")
    depth = f" of {target.n_layers}" if target.n_layers else ""
    first = f"from token {card.min_position} on" if card.data.get("extract") else NOT_RECORDED
    where = "in the place of the marker's embedding" if card.injection == REPLACE else f"added at {card.injection}"
    rows = {
        "target model": _target(card, base),
        "revision": revision,
        "computed in": target.dtype,
        "fingerprint of its weights": f"`{target.fingerprint}`" if target.fingerprint else NOT_RECORDED,
        "site": f"`{card.site}`: the output of block {site.layer}{depth}, counted from 0; vectors of {target.d_model} components",
        "positions it was trained on": first,
        "injection": f"{where}, at {card.injection_scale:g}",
        "explanations": f"at most {card.max_new_tokens} tokens",
    }
    return [
        _table(("", ""), rows.items()),
        "It reads this model and no other: a model with other weights, a fine-tuned copy for example, is refused when it is loaded."
        if target.fingerprint
        else "It is meant for this model and no other; a fine-tuned copy would not be told apart from it.",
    ]


def _use(name: str, adapters: bool) -> list[str]:
    package = "'nlakit[lora]'" if adapters else "nlakit"
    shell = f'pip install {package}\nnlakit read "{EXAMPLE}" --pair {name}'
    python = (
        f'from nlakit import Pair\n\npair = Pair.from_pretrained("{name}")\n'
        f'for reading in pair.read("{EXAMPLE}"):\n    print(reading)'
    )
    advice = (
        "Every explanation comes with the error of rebuilding its vector. Ask for several samples: what they agree on is better "
        "founded than what only one of them says."
    )
    return [f"```sh\n{shell}\n```", f"```python\n{python}\n```", advice]


def _measured(card: Card, kept: Kept) -> list[str]:
    if not kept.numbers:
        return ["Nothing. `nlakit evaluate` measures a pair on rows that are held out."]
    table = [
        (
            f"{REGISTRY[name].title}{UNITS.get(REGISTRY[name].unit, '')} (`{name}`)",
            number(kept.numbers, name, fine=True),
            interval(kept.numbers, name, fine=True),
            f"{kept.numbers[name].n:,}",
            card.results[name].split,
        )
        for name in in_registry_order(kept.numbers)
    ]
    meaning = (
        "FVE is the fraction of variance explained: 1 is perfect, 0 as good as the mean vector. `fve` is the round trip from a "
        "vector through one explanation, sampled at temperature 1, back to a vector; a failed output counts as an unrelated one. "
        "The controls must be far below it."
    )
    heads = ("measure", "value", "95 % interval", "n", "split")
    return [_circumstances(card, kept), meaning, _table(heads, table), *_left_out(card, kept)]


def _circumstances(card: Card, kept: Kept) -> str:
    """Say on what, with which seed and by which version it was measured, as far as that was kept."""
    measured, splits = card.measured, sorted({measure.split for measure in card.results.values()})
    rows = f"{measured['rows']:,} rows" if "rows" in measured else "rows"
    documents = f" of {kept.documents:,} documents" if kept.documents else ""
    seed = f"seed {measured['seed']}" if "seed" in measured else "seed not recorded"
    version = f", by nlakit {measured['nlakit']}" if measured.get("nlakit") else ""
    return (
        f"On {rows}{documents} of the split `{'`, `'.join(splits)}`, which nothing was trained on, {seed}{version}. Intervals are "
        "95 %, by bootstrap over documents."
    )


def _left_out(card: Card, kept: Kept) -> list[str]:
    """Say which measures were not taken, and why where that was kept."""
    reasons = card.measured.get("left_out", {})
    # Further parts of the suite are measured where somebody asks for them; of these what every evaluation takes is missed.
    absent = {
        name: reasons.get(name, "no reason was recorded")
        for name, definition in REGISTRY.items()
        if name not in kept.numbers and (name in reasons or definition.group in EXPECTED)
    }
    lines = [
        f"Not measured: {', '.join(f'`{name}`' for name in names)} ({reason})." for reason, names in by_reason(absent)
    ]
    return [_list(lines)] if lines else []


def _claims(card: Card, kept: Kept) -> list[str]:
    if "claims_true" not in kept.numbers:
        reason = card.measured.get("left_out", {}).get("claims_true")
        warning = (
            f"This was **not measured**{f', because {reason}' if reason else ''}. An explanation can rebuild its vector well and "
            "still say what is false: a false but related claim does as well. Check each claim before you rely on it."
        )
        return [warning]
    rows = [
        (PLURALS[line.level], *_judged(kept.numbers, f"_{line.level}"), TRUST_WORDS[line.trust])
        for line in summarise(kept).trust
    ]
    how = (
        "The corpus knows its own truth, and each claim in the sampled explanations was held against it. Beside them "
        "stands what would be true with the likeliest value of a linear probe of the same vectors in each."
    )
    heads = ("claims", "true", "with a probe's value", "n", "how far to trust them")
    return [how, _table(heads, [*rows, ("all", *_judged(kept.numbers, ""), "")])]


def _judged(numbers: Mapping[str, Number], level: str) -> tuple[str, str, str]:
    """Return the share of claims that are true, the probe's, and how many there were."""
    true, ceiling = f"claims_true{level}", f"claims_ceiling{level}"
    return _share(numbers, true), _share(numbers, ceiling), f"{numbers[true].n:,}"


def _share(numbers: Mapping[str, Number], name: str) -> str:
    return f"{number(numbers, name)} ({interval(numbers, name)})" if name in numbers else "not measured"


def _trust(kept: Kept, summary: Summary) -> list[str]:
    failing = [f"**A control fails:** {check.text}." for check in summary.checks if not check.passed]
    graded = [f"{PLURALS[line.level].capitalize()}: {TRUST_WORDS[line.trust]}." for line in summary.trust]
    general = [
        "A low error says that the words carry the vector's direction. It does not say that each claim in them is true.",
        "An explanation says what a vector lets a reader rebuild, not why the model did what it did.",
        "All this holds for text like the corpus below. How the pair does on other text was not measured.",
    ]
    if not kept.numbers:
        return [_list([UNMEASURED, *general])]
    return [_list([*failing, *summary.sentences, *graded, *general])]


def _made(card: Card) -> list[str]:
    data, training = card.data, card.training
    if card.source:
        halves = [card.source[half] for half in ("verbalizer", "reconstructor") if half in card.source]
        names = " and ".join(f"`{half.get('name')}` ({half.get('commit') or 'no commit recorded'})" for half in halves)
        return [f"It was not made by nlakit: it is a conversion of {names}."]
    rows = {
        "corpus": _corpus(data),
        "rows": _rows(data),
        "teacher of the warm start": _teacher(data),
        "warm start": _warm_start(training.get("warm_start", {})),
        "reinforcement learning": _reinforcement(training),
        "seed": str(data.get("seed", NOT_RECORDED)),
        "versions": ", ".join(f"{name} {version}" for name, version in card.versions.items()) or NOT_RECORDED,
        "made": card.created_at,
    }
    return [_table(("", ""), rows.items()), "`card.yaml` holds every setting."]


def _corpus(data: Mapping[str, Any]) -> str:
    corpus = data.get("corpus")
    if not corpus:
        return NOT_RECORDED
    options = corpus.get("options", {})
    names = [f"`{corpus['name']}`", *(f"`{name}`" for name in (options.get("name"), corpus.get("path")) if name)]
    fingerprint = data.get("corpus_fingerprint")
    known = f"; fingerprint `{fingerprint}`" if fingerprint else ""
    return f"{', '.join(names)}, at most {corpus.get('documents', 0):,} documents{known}"


def _rows(data: Mapping[str, Any]) -> str:
    extract = data.get("extract")
    if not extract:
        return NOT_RECORDED
    split = ", ".join(f"{name} {share:.0%}".replace("%", " %") for name, share in extract.get("split", {}).items())
    return f"{extract['rows_per_document']} a document, from token {extract['min_position']} on; documents are split {split}"


def _teacher(data: Mapping[str, Any]) -> str:
    annotate, teacher = data.get("annotate"), data.get("teacher", {})
    if not annotate:
        return NOT_RECORDED
    more = [f"{key} {value}" for key, value in teacher.items() if key in ("model", "endpoint", "pair")]
    more += [f"{key} {value}" for key, value in annotate.get("options", {}).items() if key not in teacher]
    return f"`{annotate['teacher']}`" + (f" ({', '.join(more)})" if more else "")


def _warm_start(record: Mapping[str, Any]) -> str:
    settings, figures = record.get("settings"), record.get("figures", {})
    if not settings:
        return NOT_RECORDED
    halves = {"verbalizer": "rows_av", "reconstructor": "rows_ar"}
    parts = [
        f"{half}: {f'{figures[rows]:,} rows, ' if rows in figures else ''}{settings[f'{half}_epochs']:g} passes"
        for half, rows in halves.items()
    ]
    return "; ".join([*parts, f"{settings['batch_size']} rows a step, {settings['optimizer']}"])


def _reinforcement(training: Mapping[str, Any]) -> str:
    settings, figures = training.get("train", {}).get("settings"), training.get("train", {}).get("figures", {})
    if not settings:
        return "none: these are the weights of the warm start" if training.get("warm_start") else NOT_RECORDED
    text = f"{settings['steps']:,} steps of {settings['prompts_per_step']} vectors with {settings['group_size']} explanations each"
    return text + (f"; the weights of step {figures['best_step']:,} are kept" if "best_step" in figures else "")


def _unknown(card: Card, base: Base) -> list[str]:
    corpus = card.data.get("corpus", {})
    gaps = {
        "How it does on text unlike its corpus, and in other languages.": True,
        "Whether its claims are true (see above).": "claims_true" not in numbers_of(card.results),
        "The seed and the documents of the evaluation; they were not kept.": bool(card.results) and not card.measured,
        "Which commit of the target it was trained on; the default branch is read, and its weights are compared with the "
        "fingerprint.": base.on_hub and card.target.revision is None and card.target.fingerprint is not None,
        "Whether the target's weights are those it was trained on; no fingerprint was recorded.": card.target.fingerprint
        is None,
        "Mean and variance of its vectors; without them no share of variance can be given (`Pair.with_statistics`).": card.stats
        is None,
        f"What its corpus says: `{corpus.get('path')}` is a file of whoever trained it, and others cannot measure the pair "
        "again without it.": bool(corpus.get("path")) and not card.source,
        "How it was trained.": not card.training,
        "The licence of the target.": not base.licence,
    }
    return [_list(text for text, holds in gaps.items() if holds)]


def _licence(card: Card, base: Base, adapters: bool) -> list[str]:
    made = "Both halves are adapters on the weights of" if adapters else "Both halves were trained from the weights of"
    rests = f"{made} {_target(card, base)}, so its licence holds for them."
    if not base.licence:
        return [f"{rests} **Which licence that is, is unknown here**: look it up before you use or pass on this pair."]
    said = f"`{base.licence.get('license_name') or base.licence['license']}`"
    link = f" ([text]({base.licence['license_link']}))" if base.licence.get("license_link") else ""
    return [f"{rests} It is {said}{link}, as {base.said_by} says."]


def _target(card: Card, base: Base) -> str:
    """Name the target, with a link where it is on the Hub."""
    name = card.target.model
    if base.on_hub:
        return f"[`{name}`](https://huggingface.co/{name})"
    return f"`{name}`, a model that comes with the package `{base.package}`" if base.package else f"`{name}`"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(heads)
    cells = [[cell.replace("\n", " ").replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in [heads, ["---"] * len(heads), *cells])


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"* {item}" for item in items)
