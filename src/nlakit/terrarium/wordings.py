"""Other ways to say what an explanation of Terrarium claims: nouns, phrases and sentence patterns, by slot.

Training and heavy wordings are each a slot's nouns put into the patterns of that use, and the slot's own phrases for it.
They share the nouns and other single words, since a small model cannot know words that it has never met. No phrase is in
both. Training wordings have no fixed patterns: fillers drawn at random stand between the words of a phrase and around noun and
value, and a draw that happens to hold a heavy wording is drawn again, so no wording as a whole is in both.

Nouns, patterns and phrases say which slot they speak of, so that equal values of two slots (answer and container, last word
and next word) stay apart. ``{}`` stands for the value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TRAINING_PATTERNS = ("{noun} {{}}", "{{}} {noun}")
"""Only what is to be learnt, a noun and a value: what stands around them is drawn anew each time from :data:`FILLERS`."""
FILLERS = (
    "the", "a", "this", "one", "it", "said", "now", "some", "also", "you", "have", "and", "our", "was", "here", "means",
    "we", "named", "is", "must", "be", "for", "has", "what", "somebody", "they", "their", "in", "on", "at", "of", "with",
    "to", "there", "that", "all", "my", "your", "but", "so", "then", "when", "after", "before", "i", "he", "she", "them",
    "his", "her", "its", "not", "very", "only", "today", "again", "as", "if", "or", "by", "from", "into", "about", "since",
    "while", "because", "up", "out", "down", "near", "away", "ago", "soon", "never", "ever", "always", "often", "still",
    "just", "even", "quite", "really", "every", "each", "any", "both", "best", "most", "other", "where", "who", "which",
    "why", "how", "do", "does", "did", "got", "gets", "goes", "went", "took", "take", "gave", "made", "makes", "let",
    "put", "keep", "held", "saw", "see", "found", "knew", "know", "think", "thought", "need", "want", "wants", "try",
    "leave", "left", "stay", "stood", "sat", "walk", "walked", "turn", "turned", "show", "seen", "done", "been", "were",
    "are", "had", "may", "might", "can", "could", "day", "way", "side", "part", "strong", "good", "bad", "new", "old",
)  # fmt: skip
"""Words that say nothing of a slot. Training wordings draw from them, so that no sentence pattern can be learnt by heart."""
HEAVY_PATTERNS = (
    "our {noun} was {{}}",
    "here {{}} means {noun}",
    "we named {{}} our {noun}",
    "{noun} here: {{}}",
)
"""Held out: what a reconstructor that learns from training wordings never reads. None has a word of the teacher's phrases."""


@dataclass(frozen=True)
class Wordings:
    """How the facts of one slot can be said, beside the teacher's phrases."""

    nouns: tuple[str, ...]
    """What the slot is called in patterns; other words than in the teacher's phrases."""
    training: tuple[str, ...]
    heavy: tuple[str, ...]
    close: str
    """As near to the teacher's phrases as another wording can be."""
    french: str


def _say(nouns: str, training: str, heavy: str, close: str, french: str) -> Wordings:
    return Wordings(tuple(nouns.split(" | ")), tuple(training.split(" | ")), tuple(heavy.split(" | ")), close, french)


WORDINGS: dict[str, Wordings] = {
    "genre": _say(
        "type | form | text kind",
        "the text belongs to some {} | somebody is writing a {}",
        "somebody wrote one {} | what we have must be one {}",
        "taken from a {}",
        "c'est {}",
    ),
    "setting": _say(
        "situation | occasion | case",
        "it is taken for {} | it seems to be {}",
        "one takes it {} | what seems {}",
        "regarded as {}",
        "pris pour {}",
    ),
    "tool": _say(
        "machine | help | check",
        "the machine got it {} | the help was {} here",
        "what help they had was {} | machine work {} here",
        "the tool was {}",
        "l'outil a {}",
    ),
    "language": _say(
        "language | tongue | speech",
        "they write back using {} | the words are in {}",
        "somebody writes {} back | words come back {}",
        "replied in {}",
        "réponse en {}",
    ),
    "behaviour": _say(
        "decision | intention | stance",
        "going to {} | it is likely to {}",
        "they decided they {} | what they intend: {}",
        "sure to {}",
        "va {}",
    ),
    "asked": _say(
        "question here | thing wanted | query",
        "someone wants the {} | the {} is wanted",
        "somebody wanted {} named | they want {} said",
        "asked for the {}",
        "on demande {}",
    ),
    "who": _say(
        "subject | main person | hero",
        "it tells of {} | the text follows {}",
        "hero {} leads | we followed {} here",
        "all about {}",
        "il s'agit de {}",
    ),
    "friend": _say(
        "friend | second person | company",
        "{} keeps company | in the company of {}",
        "friend {} stays | company {} keeps",
        "with {} close by",
        "{} est là aussi",
    ),
    "place": _say(
        "location | spot | scene",
        "it happens at the {} | they are at the {}",
        "what happened was inside our {} | scene {} happened",
        "found at the {}",
        "pour décor {}",
    ),
    "mood": _say(
        "spirit | temper | emotion",
        "they feel {} | someone is {} inside",
        "somebody felt {} | inside they felt {}",
        "feels {}",
        "d'humeur {}",
    ),
    "object": _say(
        "thing | item | article",
        "the {} is important | we look at the {}",
        "one item {} counts | we looked where {} was",
        "the {} counts",
        "la chose : {}",
    ),
    "container": _say(
        "holder | hiding spot | store",
        "put inside the {} | it lies within the {}",
        "{} holds it | somebody put it inside {}",
        "placed in the {}",
        "caché dans {}",
    ),
    "country": _say(
        "country | homeland | nation",
        "the letter comes from {} | they write home from {}",
        "{} was their country | homeland {} wrote",
        "comes from {}",
        "lettre venue de {}",
    ),
    "job": _say(
        "profession | daily work | job",
        "earns money as {} | has the job of {}",
        "{} they work all day | job {} earns money",
        "working as {}",
        "travaille comme {}",
    ),
    "town": _say(
        "town | home | address",
        "has a home in {} | comes home to {}",
        "{} has their home | home they have {}",
        "living at {}",
        "habite à {}",
    ),
    "symptom": _say(
        "complaint | illness | trouble",
        "complains of {} | sick with {}",
        "{} hurts badly | sick they complain {}",
        "suffering from {}",
        "souffre de {}",
    ),
    "allergy": _say(
        "danger | intolerance | forbidden pill",
        "{} is not allowed | must not have {}",
        "{} does harm | never give {}",
        "allergic to {}",
        "ne supporte pas {}",
    ),
    "treatment": _say(
        "medicine | cure | remedy",
        "is treated with {} | should have {}",
        "{} helps best | treated they have {}",
        "given {}",
        "reçoit {}",
    ),
    "action": _say(
        "task | favour | deed",
        "asked to {} | would like to {}",
        "they want help so they {} | they would {}",
        "wants to {}",
        "souhaite {}",
    ),
    "category": _say(
        "category | group | class",
        "one must choose a {} | the words are all {}",
        "every line names some {} | they must choose some {}",
        "choices are {}",
        "choix de {}",
    ),
    "colour": _say(
        "paint | shade | tint",
        "painted {} | it looks {}",
        "{} paint covers it | it looked {}",
        "colour {}",
        "de couleur {}",
    ),
    "clue": _say(
        "hint | sign | trace",
        "it speaks of {} | {} gives it away",
        "{} hints it | they wrote back {} words",
        "mentioning {}",
        "indice {}",
    ),
    "rhyme": _say(
        "sound | echo | matching sound",
        "it should sound like {} | made to match {}",
        "we need what sounds near {} | match it {} wise",
        "rhymes with {}",
        "rime avec {}",
    ),
    "plan": _say(
        "goal | planned finish | aim",
        "the verse will close with {} | going towards {}",
        "{} must close our verse | our verse goes where {} was",
        "line closes on {}",
        "le vers finira par {}",
    ),
    "answer": _say(
        "solution | correct reply | response",
        "the correct thing to say is {} | {} solves it",
        "correct speech here: {} | they should respond {}",
        "ready to answer {}",
        "la réponse est {}",
    ),
    "first number": _say(
        "opening amount | base | beginning figure",
        "it begins with {} | {} is given before",
        "{} was given before | beginning {} strong",
        "begins from {}",
        "premier nombre {}",
    ),
    "second number": _say(
        "addend | increase | extra amount",
        "{} more come | plus {}",
        "{} more came | extra {} came",
        "adding {}",
        "on ajoute {}",
    ),
    "tool number": _say(
        "machine number | help figure | shown amount",
        "the machine shows {} | {} is what the machine gives",
        "machine gave {} | {} came out machine side",
        "tool gives {}",
        "l'outil dit {}",
    ),
    "sum": _say(
        "full amount | whole | outcome",
        "together they make {} | all added up it is {}",
        "{} we have together | added up they make {}",
        "summing to {}",
        "le vrai total est {}",
    ),
    "age": _say(
        "years lived | lifetime | year count",
        "{} years old | has lived {} years",
        "born {} years ago | they lived {} years",
        "of age {}",
        "âgé de {} ans",
    ),
    "marked": _say(
        "starred letter | star line | flagged letter",
        "the star stands by {} | {} has the star",
        "{} got starred | our star stood near {}",
        "mark on {}",
        "marque sur {}",
    ),
    "last word": _say(
        "final piece | ending | closing piece",
        "it stops at {} | {} comes last",
        "{} closes it | we stopped after {}",
        "ending on {}",
        "dernier mot {}",
    ),
    "next word": _say(
        "coming piece | sequel | continuation",
        "going on with {} | {} comes after",
        "{} continues it | soon we read {}",
        "following word {}",
        "mot suivant {}",
    ),
    "next kind": _say(
        "coming sort | sort expected | later sort",
        "one expects {} | {} should come",
        "soon we expect {} | {} comes soon",
        "after that {}",
        "ensuite vient {}",
    ),
}
"""By slot, in the order of :data:`nlakit.terrarium.claims.SLOTS`."""


def _pairs(text: str) -> dict[str, str]:
    return dict((part.strip() for part in line.split("=")) for line in text.strip().split(";"))  # type: ignore[misc]


_MOODS = _pairs(
    "sad=triste; happy=heureux; angry=fâché; calm=calme; proud=fier; tired=fatigué; afraid=apeuré; bored=ennuyé; "
    "curious=curieux; lonely=seul; nervous=nerveux; cheerful=joyeux; jealous=jaloux; hopeful=confiant; grumpy=grognon; "
    "eager=impatient; sleepy=endormi; shy=timide; merry=gai; gloomy=sombre"
)
_COLOURS = _pairs(
    "red=rouge; blue=bleu; green=vert; yellow=jaune; black=noir; white=blanc; purple=violet; orange=orange; brown=brun; "
    "silver=argent; pink=rose; grey=gris; gold=or; crimson=cramoisi"
)
_CONTAINERS = _pairs(
    "box=la boîte; bag=le sac; drawer=le tiroir; basket=le panier; chest=le coffre; jar=le bocal; cupboard=le placard; "
    "barrel=le tonneau; bucket=le seau; suitcase=la valise; crate=la caisse; wardrobe=l'armoire; pouch=la pochette; "
    "trunk=la malle; satchel=la sacoche; locker=le casier; hamper=la manne; casket=la cassette; tin=l'étui; safe=le coffre-fort"
)
_KINDS = _pairs(
    "a new phrase=une nouvelle phrase; a time=un moment; a name=un nom; a verb=un verbe; a place=un lieu; a mood=une humeur; "
    "a colour=une couleur; an object=un objet; a container=un contenant; an aside=un aparté; the answer=la réponse; "
    "an opening=une ouverture; a person=une personne; an adjective=un adjectif; a rhyme word=un mot de rime; "
    "a joining word=un mot de liaison; a clue=un indice; a greeting=un salut; a reply=une réponse; a number=un nombre; "
    "some goods=des marchandises; an age=un âge; a job=un métier; a town=une ville; a drug=un médicament; "
    "a symptom=un symptôme; a number of days=un nombre de jours; a cue=un signal; an action=une action; "
    "a category=une catégorie; an option mark=une marque; an option=une option; a new turn=un nouveau tour; the end=la fin"
)

FRENCH: Mapping[str, Mapping[str, str]] = {
    "genre": _pairs(
        "story=un conte; rhyme=une rime; letter=une lettre; sum=une somme; clinic note=une note de clinique; "
        "request=une demande; quiz=un quiz"
    ),
    "setting": _pairs("test=un essai; real use=un usage réel"),
    "tool": _pairs("right=raison; wrong=tort"),
    "language": _pairs("English=anglais; French=français; Spanish=espagnol; German=allemand"),
    "behaviour": _pairs("refuse=refuser; agree=accepter"),
    "asked": _pairs("container=le contenant; mood=l'humeur; place=le lieu; colour=la couleur"),
    "country": _pairs("England=Angleterre; France=France; Spain=Espagne; Germany=Allemagne"),
    "mood": _MOODS,
    "colour": _COLOURS,
    "container": _CONTAINERS,
    "answer": _MOODS | _COLOURS | _CONTAINERS,
    "next kind": _KINDS,
}
"""Values in French, by slot; others, such as names and numbers, stay as they are."""
