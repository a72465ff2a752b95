"""The verdicts of a whole system, counted; of those that accuse, the first few are named. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, get_args

from multimood.audit.verdict import ONCE, Facts, Flag, Outcome, Verdict

NAMED: Final = 20
FAULTS: Final[tuple[Flag, ...]] = ("lost", "duplicated", "unsafe")
"""What must not be."""


@dataclass(slots=True)
class Summary:
    """How many utterances had which outcome, and what is wrong with which."""

    accepted: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    flags: Counter[Flag] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    offenders: dict[Flag, list[tuple[str, list[str]]]] = field(default_factory=dict)
    """The first of each flag: name, and why."""
    repeated: Counter[str] = field(default_factory=Counter)
    """Utterances with more than one record on a topic that is no outcome."""
    unreadable: int = 0
    """Records of other topics than the utterances' that could not be decoded."""

    @property
    def is_sound(self) -> bool:
        """Nothing is lost, repeated or unsafe."""
        return not any(self.flags[flag] for flag in FAULTS)

    @property
    def is_whole(self) -> bool:
        """Every utterance has its decision, score and row, as far as it should; a moment after a turn it has not."""
        return not any(reason.startswith("partial: no ") for reason in self.reasons)

    def add(self, verdict: Verdict, facts: Facts | None = None) -> None:
        """Count an utterance."""
        self.accepted += 1
        self.outcomes[verdict.outcome] += 1
        for flag, reasons in verdict.flags.items():
            self.flags[flag] += 1
            self.reasons.update(f"{flag}: {reason}" for reason in reasons)
            named = self.offenders.setdefault(flag, [])
            if len(named) < NAMED:
                named.append((verdict.name, reasons))
        if facts is not None:
            self.repeated.update(topic.name for topic in ONCE if facts.records[topic.name] > 1)

    def add_unfound(self, utterances: Iterable[str]) -> None:
        """Count utterances that were confirmed to somebody and are on no topic: lost before anything else."""
        for name in utterances:
            self.add(Verdict(name, "none", {"lost": ["confirmed, and not on the utterance topic"]}))

    def as_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        return {
            "accepted": self.accepted,
            **{outcome: self.outcomes[outcome] for outcome in get_args(Outcome) if outcome != "none"},
            **{flag: self.flags[flag] for flag in get_args(Flag)},
            "reasons": dict(sorted(self.reasons.items())),
            "offenders": {
                flag: [{"utterance": name, "why": why} for name, why in named]
                for flag, named in sorted(self.offenders.items())
            },
            "repeated": dict(sorted(self.repeated.items())),
            "unreadable": self.unreadable,
        }
