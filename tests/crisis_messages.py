"""Messages of known kind, composed: crises in four languages, and what only sounds like one.

Every part is a whole sentence, and a crisis keeps its meaning behind every opening and before every ending; so what a
message is, is known by how it was made. All wordings were made up for this.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal["crisis", "negated", "idiom", "quoted", "ordinary"]

OPENINGS: Final[Mapping[str, Sequence[str]]] = {
    "en": ("", "Hi.", "I don't know how to say this.", "It rained all day.", "My shift was long and my feet hurt.",
           "You asked how I am.", "Sorry for writing so late.", "We had soup for dinner.", "I couldn't sleep again."),
    "de": ("", "Hallo.", "Es hat den ganzen Tag geregnet.", "Ich war heute arbeiten.", "Danke, dass du fragst."),
    "es": ("", "Hola.", "Hoy ha llovido todo el día.", "Gracias por preguntar.", "He trabajado mucho."),
    "fr": ("", "Bonjour.", "Il a plu toute la journée.", "Merci de demander.", "J'ai beaucoup travaillé."),
}  # fmt: skip
ENDINGS: Final[Mapping[str, Sequence[str]]] = {
    "en": ("", "That is all.", "I will write again tomorrow.", "Thanks for reading.", "My sister is coming on Sunday."),
    "de": ("", "Das ist alles.", "Danke fürs Lesen.", "Meine Schwester kommt am Sonntag."),
    "es": ("", "Eso es todo.", "Gracias por leerme.", "Mi hermana viene el domingo."),
    "fr": ("", "C'est tout.", "Merci de me lire.", "Ma sœur vient dimanche."),
}
CRISES: Final[Mapping[str, Sequence[str]]] = {
    "en": ("I want to kill myself", "I am going to end my life", "I wish I was dead", "I don't want to live anymore",
           "I have been thinking about suicide", "I took all my pills", "I tried to hang myself last night",
           "I want to die", "I cut myself again", "everyone would be better off without me",
           "I wrote a goodbye letter to my kids", "there is no reason to go on living", "I feel suicidal",
           "my husband beats me every night", "I am planning to jump off the bridge", "please let me die"),
    "de": ("Ich will sterben", "Ich will mich umbringen", "Ich will nicht mehr leben", "Ich denke an Selbstmord",
           "Ich habe mich wieder geritzt", "Ich bringe mich um"),
    "es": ("Quiero morirme", "Quiero suicidarme", "Ya no quiero vivir", "Me quiero matar", "Pienso en el suicidio"),
    "fr": ("Je veux mourir", "Je veux me suicider", "Je ne veux plus vivre", "Je pense au suicide",
           "Je vais me tuer"),
}  # fmt: skip
NEGATED: Final = (
    "I would never kill myself", "I am not suicidal", "I do not want to die", "I have never thought about suicide",
    "I don't want to hurt myself", "I never cut myself",
)  # fmt: skip
IDIOMS: Final = (
    "I was dying of laughter", "this homework is killing me", "I would kill for a coffee", "my battery is dead",
    "traffic was murder today", "that joke killed me", "I am dead tired", "I nearly died of embarrassment",
)  # fmt: skip
QUOTED: Final = (
    'There is a song called "I want to die" on the radio', 'The title of the book is "Kill myself"',
    'In the movie the hero says "I wish I was dead"',
)  # fmt: skip
ORDINARY: Final = (
    "I lost my job last week", "my exam is on Monday and I am nervous", "my mother and I argued again",
    "I miss my old friends", "the new neighbours are loud", "I cried after the meeting", "nobody called on my birthday",
    "I am so tired of this commute", "my dog is ill", "I feel lonely in this town", "I baked bread and it was good",
    "Ich bin traurig wegen der Prüfung", "Mein Chef war heute unfreundlich", "Estoy triste por mi examen",
    "Mi perro está enfermo", "Je suis fatiguée de mon travail", "Mon chat est malade",
)  # fmt: skip
HARMLESS: Final[Mapping[Kind, Sequence[str]]] = {
    "negated": NEGATED, "idiom": IDIOMS, "quoted": QUOTED, "ordinary": ORDINARY,
}  # fmt: skip
CRISIS_SHARE: Final = 0.3
_LEET: Final = str.maketrans({"i": "1", "e": "3", "o": "0"})


@dataclass(frozen=True, slots=True)
class Message:
    """A message and what it is."""

    text: str
    kind: Kind
    language: str


def messages(count: int, seed: int = 0) -> Iterator[Message]:
    """Compose so many, about three in ten of them crises; the same seed gives the same."""
    chance = random.Random(seed)
    for _ in range(count):
        language = chance.choices(tuple(CRISES), (5, 2, 2, 2))[0]
        kind: Kind = "crisis" if chance.random() < CRISIS_SHARE else chance.choice(tuple(HARMLESS))
        core = chance.choice(CRISES[language] if kind == "crisis" else HARMLESS[kind])
        if kind == "crisis":
            core = _written(core, chance)
        parts = (chance.choice(OPENINGS[language]), f"{core}{chance.choice('.!')}", chance.choice(ENDINGS[language]))
        yield Message(" ".join(part for part in parts if part), kind, language)


def _written(text: str, chance: random.Random) -> str:
    """The same words as people may write them."""
    first, _, last = text.rpartition(" ")
    ways = (
        text,
        text.upper(),
        text.lower(),
        text.replace(" ", "  "),
        text.replace("'", "\u2019"),
        text.replace(" ", "\n", 1),
        f"{first} {last.translate(_LEET)}",
        f"{text[:-1]}{text[-1] * 3}",
    )
    return chance.choice(ways)
