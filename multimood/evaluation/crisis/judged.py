"""People through the screener and the judge, message by message, as in serving; timed."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from multimood.evaluation.crisis.users import User
from multimood.safety.person import Counts, Person, PersonJudge
from multimood.safety.rules import RuleSet
from multimood.safety.screener import Screener
from multimood.safety.verdict import CRISIS, Level, rank


@dataclass(frozen=True, slots=True)
class Judges:
    """What serves."""

    screener: Screener
    rules: RuleSet
    person: PersonJudge

    @classmethod
    def load(cls, rules: Path | None = None, weights: Path | None = None, person: Path | None = None) -> "Judges":
        """Read the shipped ones, or an operator's own files in their place. Raises ConfigurationError."""
        return cls(Screener.load(rules, weights), RuleSet.load(rules), PersonJudge.load(person))


@dataclass(frozen=True, slots=True)
class Heard:
    """Counts of a person's messages, and how long each took."""

    person: Person
    milliseconds: tuple[float, ...]
    """Per message: screened, counted, and judged where there is a judge."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What was thought of one labelled user."""

    risk: int
    level: Level
    """Of the person, after the last message."""
    probability: float
    gravest: Level
    """Of the messages, each by itself."""
    milliseconds: tuple[float, ...]

    @property
    def at_risk(self) -> bool:
        """Whether the person is judged to be at risk."""
        return rank(self.level) >= rank(CRISIS)

    @property
    def any_message(self) -> bool:
        """Whether some message alone would have been escalated."""
        return rank(self.gravest) >= rank(CRISIS)


def hear(screener: Screener, rules: RuleSet, judge: PersonJudge | None, messages: Iterable[str]) -> Heard:
    """Take a person's messages in, one after the other."""
    person, taken = Person(), []
    for message in messages:
        begun = time.perf_counter()
        person.add(Counts.of(message, screener.screen(message), rules))
        if judge is not None:
            judge.judge(person)
        taken.append(1000 * (time.perf_counter() - begun))
    return Heard(person, tuple(taken))


def judged(judges: Judges, users: Sequence[User], advance: Callable[[], None] = lambda: None) -> list[Judged]:
    """Judge every user after all their posts; `advance` is called after each."""
    found = []
    for user in users:
        heard = hear(judges.screener, judges.rules, judges.person, user.posts)
        opinion = judges.person.judge(heard.person)
        found.append(Judged(user.risk, opinion.level, opinion.probability, heard.person.gravest, heard.milliseconds))
        advance()
    return found
