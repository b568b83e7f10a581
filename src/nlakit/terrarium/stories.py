"""The family of stories, and the lessons in which a growth learns to follow one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from nlakit.terrarium import lexicon as lx
from nlakit.terrarium.writer import Writer

VERBS = {"place": ("went", "walked"), "mood": ("felt", "seemed"), "container": ("put", "hid"), "colour": ("painted",)}
"""What a statement of a story tells, and the verbs that say so."""

NOTES = {"container": " Boxes:", "mood": " Feelings:", "place": " Visits:", "colour": " Colours:"}
"""How a note begins; its subject and the answer follow, with nothing between them."""
QUESTIONS = {
    "container": (" Where was the", "? In that"),
    "mood": (" How did", " feel? Very"),
    "place": (" Which place did", " visit last? The"),
    "colour": (" What colour was the", "? Clearly"),
}
"""What stands before the subject of a question, and between the subject and the answer.

In statements too the subject comes before the answer: looking backwards for it is a second skill, which is not learnt in time.
"""


@dataclass
class _Story:
    """What has happened so far in a story."""

    places: dict[str, str] = field(default_factory=dict)
    moods: dict[str, str] = field(default_factory=dict)
    containers: dict[str, str] = field(default_factory=dict)
    colours: dict[str, str] = field(default_factory=dict)
    people: list[str] = field(default_factory=list)
    told: set[str] = field(default_factory=set)
    asked: set[tuple[str, str, str]] = field(default_factory=set)

    def questions(self) -> dict[str, list[str]]:
        """Subjects that each kind of question can ask about now, and has not since the answer last changed."""
        found = {
            kind: [subject for subject, answer in known.items() if (kind, subject, answer) not in self.asked]
            for kind, known in self.answers().items()
        }
        return {kind: subjects for kind, subjects in found.items() if subjects}

    def answers(self) -> dict[str, dict[str, str]]:
        """For each kind of question the answer to every subject."""
        return {
            "container": self.containers,
            "mood": self.moods,
            "place": self.places,
            "colour": self.colours,
        }


def story(w: Writer) -> None:
    """People go, feel, carry and hide; questions in between ask where things and people are now."""
    s = _Story()
    _story_time(w)
    # Several statements come first, and questions are dense then: whoever is asked once, or of the only thing that was
    # told, need not learn who did what.
    for _ in range(4):
        _story_step(w, s)
    for round_ in range(9):
        questions = s.questions()
        may_ask = 0.68 if questions else 0.0
        may_stop = 0.15 if round_ >= 4 else 0.0
        kind = w.choose(("ask", "tell", "aside", "stop"), (may_ask, 0.27, 0.05, may_stop))
        if kind == "stop":
            break
        if kind == "ask":
            _story_question(w, s, questions)
        elif kind == "tell":
            _story_step(w, s)
        else:
            w.pick(lx.STORY_ASIDES, "aside")


def lesson(w: Writer) -> None:
    """Four people and their moods, asked for in notes.

    From it a small model soon learns to look up what was said of whom, and then finds the same in stories; from stories
    alone it learns only which words can be answers (LOG.md).
    """
    s = _Story()
    _story_time(w)
    for _ in range(4):
        _story_step(w, s, kinds=("mood",), newcomer=1.0)
    for _ in range(8):
        _story_question(w, s, {"mood": s.people}, notes=1.0)


def second_lesson(w: Writer) -> None:
    """Statements as stories have them, asked for in notes: whose notes ask for one of several things told of a person."""
    s = _Story()
    _story_time(w)
    for _ in range(5):
        _story_step(w, s)
    for _ in range(8):
        _story_question(w, s, {kind: list(known) for kind, known in s.answers().items() if known}, notes=1.0)


LESSONS = {"lesson": lesson, "second lesson": second_lesson}
"""What a growth begins with, by the name that can stand where a family could."""


def _story_time(w: Writer) -> None:
    w.pick(lx.TIMES, "time", lead="")
    w.know("genre", "story")
    w.say(",")


def _story_step(w: Writer, s: _Story, kinds: Collection[str] = tuple(VERBS), newcomer: float | None = None) -> None:
    newcomers = [name for name in lx.NAMES if name not in s.people]
    room = (1.0, 0.75, 0.4, 0.0)[len(s.people)] if newcomer is None else newcomer
    weights = [(1 - room) / len(s.people)] * len(s.people) if s.people else []
    who = w.pick([*s.people, *newcomers], "name", weights + [room / len(newcomers)] * len(newcomers))
    if who not in s.people:
        s.people.append(who)
    _focus(w, s, who)
    kind = _story_verb(w, s, kinds)
    if kind == "place":
        w.say(" to the")
        s.places[who] = w.pick([p for p in lx.PLACES if p != s.places.get(who)], "place")
        w.know("place", s.places[who])
    elif kind == "mood":
        s.moods[who] = w.pick([m for m in lx.MOODS if m != s.moods.get(who)], "mood")
        w.know("mood", s.moods[who])
    elif kind == "colour":
        thing = _story_object(w, s)
        s.colours[thing] = w.pick([c for c in lx.COLOURS if c != s.colours.get(thing)], "colour")
        w.know("colour", s.colours[thing])
    else:
        thing = _story_object(w, s)
        w.say(" in the")
        s.containers[thing] = w.pick([c for c in lx.CONTAINERS if c != s.containers.get(thing)], "container")
        w.know("container", s.containers[thing])
    w.say(".")


def _story_verb(w: Writer, s: _Story, kinds: Collection[str]) -> str:
    """Say what is told next: a story keeps to the two kinds that it began with, mostly, so that answers compete."""
    shares = {"place": 0.22, "mood": 0.25, "container": 0.33, "colour": 0.2}
    rare = 0.1 if len(s.told) >= 2 else 1.0
    options = [
        (verb, share / len(VERBS[kind]) * (1.0 if kind in s.told else rare))
        for kind, share in shares.items()
        if kind in kinds
        for verb in VERBS[kind]
    ]
    verb = w.pick([verb for verb, _ in options], "verb", [share for _, share in options])
    kind = next(kind for kind, verbs in VERBS.items() if verb in verbs)
    s.told.add(kind)
    return kind


def _story_object(w: Writer, s: _Story) -> str:
    """Names a thing, as often one that has been told of as a new one."""
    w.say(" the")
    known = sorted({*s.containers, *s.colours})
    fresh = [o for o in lx.OBJECTS if o not in known]
    weights = [0.5 / len(known)] * len(known) + [0.5 / len(fresh)] * len(fresh) if known else None
    thing = w.pick([*known, *fresh], "object", weights)
    _focus_object(w, s, thing)
    return thing


def _focus(w: Writer, s: _Story, who: str) -> None:
    others = [p for p in s.people if p != who]
    w.know("who", who)
    w.know("friend", others[-1] if others else None)
    w.know("place", s.places.get(who))
    w.know("mood", s.moods.get(who))


def _focus_object(w: Writer, s: _Story, thing: str) -> None:
    w.know("object", thing)
    w.know("colour", s.colours.get(thing))
    w.know("container", s.containers.get(thing))


def _story_question(w: Writer, s: _Story, questions: dict[str, list[str]], *, notes: float = 0.5) -> None:
    answers = s.answers()
    # A question that one answer alone could meet is rare: it asks for nothing but the kind.
    compete = {kind: 1.0 if len(set(answers[kind].values())) > 1 else 0.2 for kind in questions}
    weights = {kind: len(subjects) * compete[kind] for kind, subjects in questions.items()}
    forms = [(kind, form) for kind in questions for form in ("note", "question")]
    kind, form = w.choose(forms, [weights[kind] * (notes if form == "note" else 1 - notes) for kind, form in forms])
    before, after = (NOTES[kind], "") if form == "note" else QUESTIONS[kind]
    w.say(before)
    w.know("asked", kind)
    about_person = kind in ("mood", "place")
    subject = w.pick(questions[kind], "name" if about_person else "object")
    (_focus if about_person else _focus_object)(w, s, subject)
    answer = answers[kind][subject]
    s.asked.add((kind, subject, answer))
    w.plan("answer", answer)
    if after:
        w.say(after)
    w.say(f" {answer}", "answer")
    w.know("asked", None)
    w.plan("answer", None)
    w.say(".")
