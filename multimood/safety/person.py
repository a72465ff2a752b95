"""How a person is, judged by all that they have said so far: what one message does not tell.

Screening looks at one message and has to act on it. People who comfort others, or tell of a past that is over, use the
same words as people at risk; over many messages they differ in how often, of whom and in what company the words come.
So a `Person` counts, message by message, and a `PersonJudge` says how likely it is that a clinician who read it all
would see suicidal ideation or more (C-SSRS).

It keeps counts, never words, needs numpy alone, and takes the messages in whatever order they come. It decides nothing
by itself: the vetted reply follows from the verdict on an utterance. `persons` keeps one per conversation.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from multimood.errors import ConfigurationError
from multimood.safety.classifier import Thresholds, sentences
from multimood.safety.normalise import readings
from multimood.safety.rules import RuleSet
from multimood.safety.trees import Trees
from multimood.safety.verdict import Level, Verdict, higher
from multimood.safety.weights import Arrays, read_weights

ASSET: Final = "person.npz"
READ: Final = 65_536
"""Characters of one message whose words are counted."""
SELF: Final = frozenset((
    "i", "im", "ive", "id", "ill", "me", "my", "myself", "mine",
    "ich", "mich", "mir", "mein", "meine", "meinen", "meiner", "meinem",
    "yo", "mi", "mis", "conmigo", "je", "jai", "moi", "mon", "ma", "mes",
))  # fmt: skip
OTHER: Final = frozenset((
    "you", "your", "youre", "youll", "youve", "yourself", "u", "ur",
    "du", "dich", "dir", "dein", "deine", "deinen", "tu", "tus", "ti", "contigo", "toi", "vous", "votre",
))  # fmt: skip
GROUPS: Final = ("attempt", "despair", "intent", "plan", "selfharm", "wish")
"""Groups of rules that are counted one by one."""
FEATURES: Final = (
    "share of sentences about oneself",
    "share of sentences to somebody",
    "share of sentences with both",
    "words for oneself",
    "words for somebody",
    "words",
    "messages",
    "messages in crisis",
    "share of messages in crisis",
    "messages in crisis per 1,000 words",
    "imminent messages",
    "low messages",
    *GROUPS,
)


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of one message."""

    words: int
    sentences: int
    self_words: int
    other_words: int
    sides: Counter[str]
    """Sentences about oneself, to somebody, with both."""
    found: Level
    """By the rules alone."""
    groups: frozenset[str]
    verdict: Level
    """The utterance classifier's opinion included."""

    @classmethod
    def of(cls, text: str, verdict: Verdict, rules: RuleSet) -> "Counts":
        """Count a message of which the screener, by these rules, thought that. Linear in the text, up to `READ`."""
        words = self_words = other_words = number = 0
        sides = Counter[str]()
        for sentence in sentences(readings(text[:READ])[0]):
            own = sum(word in SELF for word in sentence)
            others = sum(word in OTHER for word in sentence)
            number += 1
            words += len(sentence)
            self_words += own
            other_words += others
            if own or others:
                sides["both" if own and others else "self" if own else "other"] += 1
        found, groups = rules.meaning(verdict.rules)
        return cls(words, number, self_words, other_words, sides, found, groups, verdict.level)


@dataclass(slots=True)
class Person:
    """Counts over what one person said. Its size does not grow with what is said."""

    messages: int = 0
    words: int = 0
    sentences: int = 0
    self_words: int = 0
    other_words: int = 0
    sides: Counter[str] = field(default_factory=Counter)
    """Sentences about oneself, to somebody, with both."""
    levels: Counter[Level] = field(default_factory=Counter)
    """Messages by what the rules found."""
    groups: Counter[str] = field(default_factory=Counter)
    gravest: Level = "none"
    """The gravest verdict on a message."""

    def add(self, message: Counts) -> None:
        """Count one more message."""
        self.messages += 1
        self.words += message.words
        self.sentences += message.sentences
        self.self_words += message.self_words
        self.other_words += message.other_words
        self.sides.update(message.sides)
        self.levels[message.found] += 1
        self.groups.update(message.groups)
        self.gravest = higher(self.gravest, message.verdict)

    def numbers(self) -> NDArray[np.float32]:
        """Give what is known as numbers: float32 [features], in the order of `FEATURES`."""
        said, words, messages = max(1, self.sentences), max(1, self.words), max(1, self.messages)
        crises = self.levels["elevated"] + self.levels["imminent"]
        return np.array(
            [
                self.sides["self"] / said,
                self.sides["other"] / said,
                self.sides["both"] / said,
                self.self_words / words,
                self.other_words / words,
                math.log(words),
                math.log(messages),
                math.log1p(crises),
                crises / messages,
                1_000 * crises / words,
                math.log1p(self.levels["imminent"]),
                math.log1p(self.levels["low"]),
                *(math.log1p(self.groups[group]) for group in GROUPS),
            ],
            np.float32,
        )


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is thought of a person; holds no word of theirs."""

    level: Level
    """"imminent" where one of their messages was; "none" where no message had the least sign."""
    probability: float
    """That clinicians would say ideation or more, among people who write in forums about suicide: less elsewhere."""
    version: str


class PersonJudge:
    """Trained trees over `Person.numbers`, and the probabilities from which on they mean a level."""

    def __init__(self, trees: Trees, scale: tuple[float, float], thresholds: Thresholds, version: str) -> None:
        """`scale`: slope and offset from the trees' score to log-odds."""
        self._trees = trees
        self._slope, self._offset = scale
        self.thresholds: Final = thresholds
        self.version: Final = version

    @classmethod
    def load(cls, path: Path | None = None) -> "PersonJudge":
        """Read the shipped weights, or an operator's own (made by `multimood train person`).

        Raises:
            ConfigurationError: the file cannot be read or is not such weights.
        """
        place = path or ASSET
        (names, trees, scale, low, elevated), version = read_weights("person", path, "judge of persons", _stored)
        if names != FEATURES or (trees.features.size and trees.features.max() >= len(FEATURES)):
            raise ConfigurationError(
                f"{place} was trained on other numbers than this version counts: make one with `multimood train person`"
            )
        if not low <= elevated or not all(map(math.isfinite, scale)):
            raise ConfigurationError(f"{place} holds thresholds {low}, {elevated}, scale {scale}: broken")
        return cls(trees, scale, Thresholds(low, elevated), version)

    def judge(self, person: Person) -> Judgement:
        """Say how a person is, by what is counted so far; never raises."""
        odds = self._slope * self._trees.score(person.numbers()) + self._offset
        probability = 1 / (1 + math.exp(-max(-60.0, min(60.0, odds))))
        return Judgement(self._level(person, probability), probability, self.version)

    def _level(self, person: Person, probability: float) -> Level:
        # The trees know people who write about suicide only: of others they may not say that they are at risk.
        if person.gravest == "none" or probability < self.thresholds.low:
            return "none"
        if probability < self.thresholds.elevated:
            return "low"
        return "imminent" if person.gravest == "imminent" else "elevated"


def _stored(arrays: Arrays) -> tuple[tuple[str, ...], Trees, tuple[float, float], float, float]:
    base, slope, offset, low, elevated = (
        float(arrays[name]) for name in ("base", "slope", "offset", "low", "elevated")
    )
    trees = Trees(
        base,
        arrays["features"].astype(np.int64),
        arrays["thresholds"].astype(np.float32),
        arrays["leaves"].astype(np.float32),
    )
    return tuple(str(name) for name in arrays["names"]), trees, (slope, offset), low, elevated
