"""The experience log as what is learned from, and what is held back to judge by. Rows are read one at a time.

The log is read twice: once to see which versions it has and how many rows each conversation, in few bytes; once for the
rows of the conversations that are taken. So memory is bounded by `most_rows`, whatever the log's size; beside that the
reader takes 16 bytes for every row.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from multimood.errors import ConfigurationError, NotFoundError
from multimood.learning.network import taxonomy_of
from multimood.learning.sampling import Crowd, Fingerprint, Part, Row, Sampling, counted
from multimood.ope.log import Log
from multimood.ope.read import REWARDS, Reading, read
from multimood.perception.state import VERSIONS, names_of

RowsOf = Callable[[Collection[str]], Iterator[Row]]
"""Reads the log anew: its rows, of which these columns are needed. With `feedback` also what came later."""

MOST_ROWS: Final = 100_000
SLICES: Final = ("screening_level", "modalities", "locale", "stage")
_FIRST: Final = ("tenant", "conversation_id", "state_version", "reward_version", "has_decision", "override")
_SECOND: Final = (
    *_FIRST, "schema_version", "row_id", "fit_for_ope", "unfit_reason", "strategy", "chosen", "propensity",
    "policy_version", "decided_at", "step", "state", "modalities", "missing", "screening_level", "stage", "locale",
    "reply_attempts", "crisis_gate_failed",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is read of a log."""

    reward: str = "reward"
    """One of `multimood.ope.REWARDS`."""
    reward_version: str = ""
    """Of rewards of several versions, the one that counts; empty: there must be one only."""
    taxonomy: str = ""
    """Of decisions in both taxonomies, the one that is learned; empty: there must be one only."""
    most_rows: int = MOST_ROWS
    seed: int = 0
    held: float = 0.3

    def __post_init__(self) -> None:
        """Raise ConfigurationError for what cannot be read."""
        if self.reward not in REWARDS:
            raise ConfigurationError(f"reward {self.reward!r} is not known: use one of {', '.join(REWARDS)}")
        if not 0 < self.held < 1:
            raise ConfigurationError(f"held is {self.held:g}: give a share above 0 and below 1, such as 0.3")
        if self.most_rows < 1:
            raise ConfigurationError(f"most_rows is {self.most_rows}: give at least 1")

    @property
    def columns(self) -> tuple[str, ...]:
        """That the reward is computed from."""
        return {"rating": ("feedback",), "intensity": ("feedback",)}.get(self.reward, (self.reward,))

    @property
    def is_scored(self) -> bool:
        """Whether the reward is one of the reward service's, which has a version."""
        return self.reward == "reward" or self.reward.startswith("score_")


@dataclass(frozen=True, slots=True)
class Logged:
    """One part of a log, ready for learners and estimators: every turn where somebody could choose has its state."""

    log: Log
    """Its contexts are the state."""
    part: Part
    prints: Mapping[Part, Fingerprint]
    """Of both parts."""
    rows: int
    """Of the whole log."""
    left_out: Mapping[str, int]
    """Rows of this part that cannot be used, by reason."""
    sampled: float
    """Share of the log's rows that was taken."""

    def as_json(self) -> dict[str, Any]:
        """For a run's `data.json`."""
        decisions = self.log.decisions()
        return {
            "fingerprint": str(self.prints[self.part]),
            "part": self.part,
            "rows_in_log": self.rows,
            "sampled": self.sampled,
            "state_version": self.log.state_version,
            "decisions": len(decisions),
            "conversations": decisions.conversations,
            "left_out": dict(self.left_out),
            "parts": {part: found.as_json() for part, found in self.prints.items()},
        }


def load(rows_of: RowsOf, wanted: Wanted, part: Part) -> Logged:
    """Read one part of a log.

    Raises:
        ConfigurationError: versions are mixed and none is named, or the named one is not there.
        NotFoundError: there is no decision to learn from.
        DamagedObjectError, UnavailableError: what reading the log raises.
    """
    seen = _look(rows_of, wanted)
    version = _state_version(seen, wanted)
    reward_version = _reward_version(seen, wanted) if wanted.is_scored else None
    sampling = Sampling(wanted.seed, wanted.held, seen.crowd.below())
    prints: dict[Part, Fingerprint] = {"train": Fingerprint(), "held": Fingerprint()}
    width = len(names_of(version))

    def bars(row: Row) -> str:
        if row["state_version"] != version:
            return "other_state" if row["state_version"] else "no_state"
        if row["state"] is None or len(row["state"]) != width:
            return "no_state"
        other = reward_version is not None and row["reward_version"] not in {reward_version, None}
        return "other_reward_version" if other else ""

    def taken() -> Iterator[Row]:
        for row in rows_of((*_SECOND, *wanted.columns)):
            if (own := sampling.part(row)) is not None:
                prints[own].add(row, REWARDS[wanted.reward](row))
                if own == part:
                    yield row

    found = _read(taken(), wanted, bars, part)
    sampled = sum(one.rows for one in prints.values()) / max(seen.rows, 1)
    return Logged(_with_state(found.log, version), part, prints, seen.rows, found.left_out, sampled)


def _read(rows: Iterator[Row], wanted: Wanted, bars: Callable[[Row], str], part: Part) -> Reading:
    found = read(rows, wanted.reward, (*SLICES, "guard"), bars=bars)
    if not len(found.log.decisions()):
        reasons = counted(found.left_out.items()) or "none is fit"
        raise NotFoundError(
            f"the log's {part} part has no decision with a state and the reward {wanted.reward!r} ({reasons}): "
            "docs/offline-rl.md says what a log must have"
        )
    return found


def _with_state(log: Log, version: str) -> Log:
    """The contexts are let go: they are the same turns, seen through fewer columns."""
    assert log.state is not None
    return replace(log, contexts=log.state, features=names_of(version))


@dataclass(slots=True)
class _Seen:
    crowd: Crowd
    rows: int
    states: Counter[str]
    rewards: Counter[str]


def _look(rows_of: RowsOf, wanted: Wanted) -> _Seen:
    seen = _Seen(Crowd(wanted.most_rows), 0, Counter(), Counter())
    sampling = Sampling(wanted.seed)
    for row in rows_of(_FIRST):
        seen.rows += 1
        seen.crowd.add(sampling.place(row))
        if row["has_decision"] and row["override"] in {"none", None}:
            seen.states[row["state_version"] or ""] += 1
            if row["reward_version"]:
                seen.rewards[row["reward_version"]] += 1
    return seen


def _state_version(seen: _Seen, wanted: Wanted) -> str:
    known = {name: number for name, number in seen.states.items() if name in VERSIONS}
    fitting = {name: number for name, number in known.items() if wanted.taxonomy in {"", taxonomy_of(name)}}
    if not fitting:
        strange = {name or "none": number for name, number in seen.states.items()}
        told = counted(strange.items()) or "no decision"
        what = f"for the taxonomy {wanted.taxonomy!r}" if wanted.taxonomy else "that is known here"
        raise NotFoundError(
            f"no decision of {seen.rows} rows has a state {what} (state_version: {told}): only logs of version 2 with "
            "the column state can be learned from"
        )
    if len(fitting) > 1:
        raise ConfigurationError(
            f"the log has decisions in several taxonomies ({counted(fitting.items())}): name one by --taxonomy"
        )
    return next(iter(fitting))


def _reward_version(seen: _Seen, wanted: Wanted) -> str | None:
    if wanted.reward_version:
        if wanted.reward_version not in seen.rewards:
            there = counted(seen.rewards.items()) or "none"
            raise ConfigurationError(f"no reward is of version {wanted.reward_version!r}: the log has {there}")
        return wanted.reward_version
    if len(seen.rewards) > 1:
        raise ConfigurationError(
            f"the log has rewards of several versions ({counted(seen.rewards.items())}), which do not mean the same: "
            "name one by --reward-version"
        )
    return next(iter(seen.rewards), None)
