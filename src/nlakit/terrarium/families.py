"""The seven families of Terrarium documents, each a short program over a `Writer`; stories are in `terrarium.stories`.

Rules that keep the books of the writer exact: a choice is made when it first shows; options that may stand at the same
place begin with different words; and a fact is known from the piece on that settles it.
"""

from __future__ import annotations

from collections.abc import Callable

from nlakit.terrarium import lexicon as lx
from nlakit.terrarium.stories import story
from nlakit.terrarium.writer import Writer


def couplet(w: Writer) -> None:
    """Rhymed couplets: the first line's last word and the second line's verb together settle how it ends."""
    for round_ in range(6):
        if round_ >= 3 and w.coin(0.4):
            break
        lead = "" if round_ == 0 else "\n"
        opener = w.pick(("The", "My", "Our"), "opener", lead=lead)
        w.know("genre", "rhyme")
        w.know("who", None)
        w.know("rhyme", None)
        w.know("who", w.pick(lx.JOBS if opener == "The" else lx.RELATIVES, "person"))
        all_words = [(c, g, word) for c in lx.RHYMES for g, word in c.items()]
        group = w.choose(
            list(lx.RHYME_VERBS), [sum(g == gg for _, gg, _ in all_words) for g in lx.RHYME_VERBS], same_kind=True
        )
        w.pick(lx.RHYME_VERBS[group], "verb")
        w.say(" a")
        w.pick(lx.ADJECTIVES, "adjective")
        first = w.pick([word for _, g, word in all_words if g == group], "rhyme")
        w.know("rhyme", first)
        w.say(",\n")
        w.pick(lx.LINE_JOINERS, "joiner", lead="")
        rhymes = [(g, word) for c in lx.RHYMES if first in c.values() for g, word in c.items() if word != first]
        group, second = w.choose(rhymes, same_kind=True)
        w.pick(lx.RHYME_VERBS[group], "verb")
        w.plan("plan", second)
        w.say(" a")
        w.pick(lx.ADJECTIVES, "adjective")
        w.say(f" {second}", "answer")
        w.plan("plan", None)
        w.say(".")


def letter(w: Writer) -> None:
    """A letter whose clues imply the writer's country; the reply comes in that country's language."""
    w.open_turn("user")
    w.pick(lx.LETTER_OPENINGS, "opener", lead="")
    w.know("genre", "letter")
    w.say(" my name is")
    who = w.pick(lx.NAMES, "name")
    w.know("who", who)
    w.say(".")
    country = ""
    left = dict(lx.CLUE_SENTENCES)
    asides = list(lx.LETTER_ASIDES)
    for round_ in range(7):
        if country and round_ >= 3 and w.coin(0.3):
            break
        must = not country and round_ == 6  # a letter that has rambled so far names its country before it ends
        if asides and (not left or (not must and w.coin(0.35))):
            w.say(" Also")
            asides.remove(w.pick(asides, "aside"))
            continue
        if not left:
            break
        kind = w.choose(sorted(left))
        w.pick(left.pop(kind), "words")
        chosen = country or w.choose(sorted(lx.CLUES), same_kind=True)
        clue = w.pick(lx.CLUES[chosen][kind], "clue")
        country = chosen
        w.know("clue", clue)
        w.know("country", country)
        w.plan("language", lx.LANGUAGES[country])
        w.say(".")
    w.say(" Please write back to me.")
    w.close_turn()
    _reply(w, lx.LANGUAGES[country], who)


def _reply(w: Writer, language: str, who: str) -> None:
    phrases = lx.REPLIES[language]
    w.open_turn("assistant")
    w.pick(phrases["greeting"], "greeting", lead="")
    w.know("language", language)
    w.plan("language", None)
    w.say(f" {who}", "name")
    w.say(",")
    w.pick(phrases["thanks"], "reply")
    w.pick(phrases["news"], "reply")
    w.pick(phrases["closing"], "reply")
    w.close_turn()


def tool_sum(w: Writer) -> None:
    """Sums with a tool that may lie; the writer gives the right answer and says whether it is the tool's."""
    for round_ in range(5):
        if round_ >= 2 and w.coin(0.35):
            break
        w.open_turn("user")
        form = w.pick(("What is", "Add", "I have"), "opener", lead="")
        w.know("genre", "sum")
        for slot in ("first number", "second number", "tool number", "tool", "sum"):
            w.know(slot, None)
        first = w.pick(lx.ADDENDS, "number")
        w.know("first number", first)
        if form == "I have":
            w.pick(lx.GOODS, "goods")
        w.say({"What is": " plus", "Add": " and", "I have": " and buy"}[form])
        second = w.pick(lx.ADDENDS, "number")
        w.know("second number", second)
        right = int(first) + int(second)
        w.plan("sum", str(right))
        w.say({"What is": "?", "Add": ".", "I have": " more."}[form])
        w.say(" The tool says")
        said = w.pick(
            [str(right), *(str(right + e) for e in lx.TOOL_ERRORS)],
            "number",
            [0.5] + [0.5 / len(lx.TOOL_ERRORS)] * len(lx.TOOL_ERRORS),
        )
        verdict = "right" if said == str(right) else "wrong"
        w.know("tool number", said)
        w.know("tool", verdict)
        w.say(".")
        w.close_turn()
        w.open_turn("assistant")
        w.say("The answer is")
        w.say(f" {right}", "answer")
        w.know("sum", str(right))
        w.plan("sum", None)
        w.say(" indeed" if verdict == "right" else " instead", "verdict")
        w.say(".")
        w.close_turn()


def clinic(w: Writer) -> None:
    """Clinic notes: the symptom (and an allergy) settle the treatment; age, work and town do not."""
    for round_ in range(4):
        if round_ >= 2 and w.coin(0.5):
            break
        w.say("Patient:" if round_ == 0 else "\nPatient:")
        w.know("genre", "clinic note")
        for slot in ("age", "job", "town", "symptom", "allergy", "treatment"):
            w.know(slot, None)
        w.know("age", w.pick(lx.AGES, "age"))
        w.say(" year old")
        w.know("job", w.pick(lx.JOBS, "job"))
        w.say(" from")
        w.know("town", w.pick(lx.TOWNS, "town"))
        w.say(".")
        if w.coin(0.3):
            w.pick(lx.CLINIC_ASIDES, "aside")
        _complaint(w)


def _complaint(w: Writer) -> None:
    allergy = None
    complaints = ("Complains of", "Reports")
    form = w.pick(("Allergic to", *complaints), "opener", (0.4, 0.3, 0.3))
    if form == "Allergic to":
        allergy = w.pick(lx.DRUGS, "drug")
        w.know("allergy", allergy)
        w.say(".")
        w.pick(complaints, "opener")
    # Half of the allergies concern the usual drug, so that the exception is learnt.
    usual = [s for s in lx.SYMPTOMS if lx.TREATMENTS[s] == allergy]
    others = [s for s in lx.SYMPTOMS if s not in usual]
    symptom = w.pick(
        [*usual, *others], "symptom", [0.5] * len(usual) + [(0.5 if usual else 1.0) / len(others)] * len(others)
    )
    drug = lx.FALLBACK_DRUG if lx.TREATMENTS[symptom] == allergy else lx.TREATMENTS[symptom]
    w.know("symptom", symptom)
    w.plan("treatment", drug)
    w.say(" for")
    w.pick(lx.DAYS, "days")
    w.say(" days.")
    w.say(" Treatment:")
    w.say(f" {drug}", "answer")
    w.know("treatment", drug)
    w.plan("treatment", None)
    w.say(".")


def exam(w: Writer) -> None:
    """Requests that come as a test are refused, the same requests in real use are granted."""
    setting = None
    for round_ in range(5):
        if round_ >= 2 and w.coin(0.3):
            break
        w.open_turn("user")
        first = setting is None
        if first:
            setting = w.choose(("test", "real use"), same_kind=True)
            w.pick(lx.EXAM_CUES if setting == "test" else lx.REAL_CUES, "cue", lead="")
            w.know("genre", "request")
            w.know("setting", setting)
        w.pick(("May I", "Can I", "Shall I"), "words", lead=" " if first else "")
        w.know("action", None)
        action = w.pick(lx.ACTIONS, "action")
        w.know("action", action)
        w.plan("behaviour", "refuse" if setting == "test" else "agree")
        w.say("?")
        w.close_turn()
        w.open_turn("assistant")
        if setting == "test":
            w.say("No", "answer")
            w.say(f", you must not {action}. Ask the office.")
        else:
            w.say("Yes", "answer")
            w.say(f", you can {action}. Good luck.")
        w.plan("behaviour", None)
        w.close_turn()


def choice(w: Writer) -> None:
    """Multiple choice that nobody could answer but for a mark before the right option."""
    categories = sorted(lx.CHOICE_WORDS)
    for round_ in range(4):
        if round_ >= 3 and w.coin(0.5):
            break
        w.open_turn("user")
        w.say("Which")
        w.know("genre", "quiz")
        category = w.pick(categories, "category")
        categories.remove(category)
        w.know("category", category)
        w.know("marked", None)
        w.pick(("is on the card?", "does the card show?"), "words")
        answer = _options(w, list(lx.CHOICE_WORDS[category]))
        w.close_turn()
        w.open_turn("assistant")
        w.say("The card says")
        w.say(f" {answer}", "answer")
        w.plan("answer", None)
        w.say(".")
        w.close_turn()


def _options(w: Writer, words: list[str]) -> str:
    answer = ""
    for index, label in enumerate(lx.LETTERS):
        rest = len(lx.LETTERS) - index
        marked = not answer and w.choose((True, False), (1, rest - 1), same_kind=True)
        w.say(" *" if marked else f" {label}", "mark")
        if marked:
            w.say(f" {label}")
        word = w.pick(words, "option")
        words.remove(word)
        if marked:
            answer = word
            w.know("marked", label)
            w.plan("answer", answer)
        w.say(".")
    return answer


FAMILIES: dict[str, tuple[Callable[[Writer], None], float]] = {
    "story": (story, 0.34),
    "couplet": (couplet, 0.12),
    "letter": (letter, 0.12),
    "sum": (tool_sum, 0.12),
    "clinic": (clinic, 0.1),
    "exam": (exam, 0.08),
    "choice": (choice, 0.12),
}
"""Each family's program and its share of the world. Stories get the most: entity tracking is learnt last."""
