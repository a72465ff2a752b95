"""Rows of the experience log to arrays, one row at a time. What cannot be used is counted, never guessed.

Memory: about 800 bytes for a turn, whatever was said in it.
"""

import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from multimood.errors import ConfigurationError, NotFoundError
from multimood.ope.contexts import FEATURES, STRATEGIES, context, guard, modalities, state
from multimood.ope.log import FORCED, NO_HOLE, Floats, Ints, Log
from multimood.taxonomy import CRITERIA

SUM_TOLERANCE: Final = 1e-6
Row = Mapping[str, Any]
Oracle = Mapping[str, Mapping[str, float]]
"""Utterance id to the expected reward of each strategy: what a simulator knows."""
Called = Callable[[str, str], str]
"""Tenant and the platform's id of an utterance -> what the log calls it."""


def _feedback(row: Row, name: str) -> float | None:
    """The last value given: a person may change their mind."""
    given = [item[name] for item in row.get("feedback") or () if item[name] is not None]
    return given[-1] if given else None


def _relief(row: Row) -> float | None:
    reported = _feedback(row, "intensity")
    return None if reported is None else 1 - reported


def _score(name: str) -> Callable[[Row], float | None]:
    def scaled(row: Row) -> float | None:
        score = row[f"score_{name}"]
        return None if score is None else (score - 1) / 9

    return scaled


REWARDS: Final[Mapping[str, Callable[[Row], float | None]]] = MappingProxyType(
    {
        "reward": lambda row: row["reward"],
        "rating": lambda row: _feedback(row, "rating"),
        "intensity": _relief,
        "lookahead": lambda row: row.get("lookahead"),
        **{f"score_{name}": _score(name) for name in CRITERIA},
    }
)
"""What can be evaluated, more is better; 0..1, but for `lookahead`, a discounted count of values, which rows must have
(`multimood.trust.ahead`). `intensity` is 1 - the person's own report after the reply; a score of 1..10 is scaled."""

SLICES: Final[Mapping[str, Callable[[Row], str]]] = MappingProxyType(
    {
        "screening_level": lambda row: row["screening_level"] or "no verdict",
        "stage": lambda row: row["stage"] or "unknown",
        "locale": lambda row: row["locale"] or "en",
        "modalities": lambda row: "+".join(modalities(row)) or "none",
        "policy_version": lambda row: row["policy_version"] or "unknown",
        "tenant": lambda row: row["tenant"],
        "guard": guard,
    }
)


@dataclass(frozen=True, slots=True)
class Reading:
    """A log, and how many rows were left out or limited, by reason."""

    log: Log
    rows: int
    left_out: Mapping[str, int]


@dataclass(slots=True)
class _Columns:
    """What grows while rows are read."""

    contexts: "array[float]" = field(default_factory=lambda: array("d"))
    states: "array[float] | None" = field(default_factory=lambda: array("f"))
    """Of the turns in `stated`; None: a turn lacks one."""
    stated: "array[int]" = field(default_factory=lambda: array("q"))
    width: int = 0
    versions: set[str] = field(default_factory=set)
    offered: "array[int]" = field(default_factory=lambda: array("q"))
    """Of each turn, how many actions were eligible."""
    labels: "array[int]" = field(default_factory=lambda: array("q"))
    probabilities: "array[float]" = field(default_factory=lambda: array("d"))
    chosen: "array[int]" = field(default_factory=lambda: array("q"))
    rewards: "array[float]" = field(default_factory=lambda: array("d"))
    fit: "array[int]" = field(default_factory=lambda: array("b"))
    conversation: "array[int]" = field(default_factory=lambda: array("q"))
    step: "array[int]" = field(default_factory=lambda: array("q"))
    holes: dict[int, int] = field(default_factory=dict)
    """By conversation, the first step of a decision that cannot be used; -1: not known which."""
    oracle: "array[float]" = field(default_factory=lambda: array("d"))


class _Expected:
    """What the oracle says of a row, by the platform's id or by what the log calls it."""

    def __init__(self, oracle: Oracle, called: Called | None) -> None:
        self._oracle, self._called = oracle, called
        self._by_tenant: dict[str, Oracle] = {}

    def of(self, row: Row) -> Mapping[str, float]:
        if not self._oracle:
            return {}
        tenant, known = row["tenant"], self._oracle.get(row["utterance_id"])
        if known is not None or self._called is None:
            return known or {}
        if tenant not in self._by_tenant:
            self._by_tenant[tenant] = {self._called(tenant, name): one for name, one in self._oracle.items()}
        return self._by_tenant[tenant].get(row["utterance_id"], {})


def read(
    rows: Iterable[Row], reward: str = "reward", slices: Sequence[str] = (), oracle: Oracle | None = None,
    *, called: Called | None = None, bars: Callable[[Row], str] | None = None,
) -> Reading:  # fmt: skip
    """Read a log. Rows need the column `feedback` for the rewards `rating` and `intensity`.

    The oracle names utterances as the platform does; `called` says what a log of pseudonyms calls them. `bars` tells of
    a row why its decision is of no use to who reads; empty: it is.

    Raises ConfigurationError (no such reward or slice), NotFoundError (no row has a decision that can be used).
    """
    reward_of = _known(REWARDS, reward, "reward")
    slice_of = {name: _known(SLICES, name, "slice") for name in slices}
    columns, left_out, seen, expected = _Columns(), Counter[str](), 0, _Expected(oracle or {}, called)
    names: dict[str, int] = {name: number for number, name in enumerate((*STRATEGIES, FORCED))}
    ids: dict[Any, int] = {}
    known_rows: set[str] = set()
    values: dict[str, list[str]] = {name: [] for name in slices}
    for row in rows:
        seen += 1
        if row["row_id"] in known_rows:
            left_out["duplicate"] += 1
            continue
        known_rows.add(row["row_id"])
        conversation, step = ids.setdefault(_conversation(row), len(ids)), -1 if row["step"] is None else row["step"]
        offered, problem = _offered(row)
        if FORCED not in offered and bars is not None and (why := bars(row)):
            offered, problem = {}, problem or why
        if not offered:
            left_out[problem] += 1
            columns.holes[conversation] = min(step, columns.holes.get(conversation, step))
            continue
        value = _finite(reward_of(row))
        fit = not problem and row["chosen"] in offered
        if problem:
            left_out[problem] += 1
        elif math.isnan(value):
            left_out["no_reward"] += 1
        known = expected.of(row)
        taken = FORCED if FORCED in offered else row["chosen"]
        columns.offered.append(len(offered))
        columns.labels.extend(names.setdefault(label, len(names)) for label in offered)
        columns.probabilities.extend(offered.values())
        columns.oracle.extend(known.get(label, math.nan) for label in offered)
        columns.chosen.append(names[taken])
        columns.rewards.append(value)
        columns.fit.append(fit)
        columns.conversation.append(conversation)
        columns.step.append(step)
        columns.contexts.extend(map(_zero_if_none, context(row)))
        _add_state(columns, row, free=FORCED not in offered)
        for name, of in slice_of.items():
            values[name].append(of(row))
    if not columns.chosen:
        reasons = ", ".join(f"{reason} {count}" for reason, count in left_out.items()) or "no rows at all"
        raise NotFoundError(f"none of {seen} rows has a decision that can be evaluated ({reasons})")
    return Reading(_log(columns, list(names), values, has_oracle=oracle is not None), seen, dict(left_out))


def _known(known: Mapping[str, Callable[[Row], Any]], name: str, what: str) -> Callable[[Row], Any]:
    if name not in known:
        raise ConfigurationError(f"{what} {name!r} is not known: use one of {', '.join(known)}")
    return known[name]


def _offered(row: Row) -> tuple[Mapping[str, float], str]:
    """The eligible actions with their probabilities, empty if not known; and why the turn is no decision to evaluate.

    The file's own `fit_for_ope` is not enough: anybody can write Parquet.
    """
    if not row["has_decision"]:
        return {}, "no_decision"
    if row["override"] not in {"none", None}:
        return {FORCED: 1.0}, "override"
    offered = {item["label"]: _finite(item["p"]) for item in row["strategy"] or ()}
    possible = all(p >= 0 for p in offered.values()) and len(offered) == len(row["strategy"] or ())
    if not possible or abs(sum(offered.values()) - 1) > SUM_TOLERANCE or not offered.get(row["chosen"], 0) > 0:
        return {}, "no_propensity"
    if not abs(offered[row["chosen"]] - _finite(row["propensity"])) <= SUM_TOLERANCE:  # NaN differs, too
        return {}, "propensity_differs"
    return offered, "" if row["fit_for_ope"] else row["unfit_reason"] or "unfit"


def _finite(value: float | None) -> float:
    """NaN for whatever is no number."""
    return value if value is not None and math.isfinite(value) else math.nan


def _zero_if_none(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _conversation(row: Row) -> Any:
    return row["tenant"], row.get("conversation") or row["conversation_id"]


def _add_state(columns: _Columns, row: Row, *, free: bool) -> None:
    """Keep the states only as long as every turn where somebody could choose has one, of one version, all finite."""
    found, version = state(row), row.get("state_version") or ""
    if columns.states is None or (found is None and not free):
        return
    same = not columns.states or (found is not None and len(found) == columns.width and version in columns.versions)
    if found is None or not same or any(math.isnan(_finite(value)) for value in found):
        columns.states = None
        return
    columns.width = len(found)
    columns.versions.add(version)
    columns.stated.append(len(columns.chosen) - 1)
    columns.states.extend(found)


def _log(columns: _Columns, names: list[str], values: Mapping[str, list[str]], *, has_oracle: bool) -> Log:
    turns = len(columns.chosen)
    conversation, step = _ints(columns.conversation), _ints(columns.step)
    order = np.lexsort((step, conversation))
    turn = np.repeat(np.arange(turns), _ints(columns.offered))
    used, label = np.unique(_ints(columns.labels), return_inverse=True)
    behaviour = np.zeros((turns, len(used)))
    behaviour[turn, label] = _floats(columns.probabilities)
    eligible = np.zeros(behaviour.shape, bool)
    eligible[turn, label] = True
    oracle = np.full(behaviour.shape, np.nan)
    oracle[turn, label] = _floats(columns.oracle)
    state = None
    if columns.states:
        state = np.zeros((turns, columns.width))
        state[_ints(columns.stated)] = np.frombuffer(columns.states, np.float32).reshape(-1, columns.width)
    return Log(
        actions=tuple(names[number] for number in used),
        features=FEATURES,
        contexts=_floats(columns.contexts).reshape(turns, len(FEATURES))[order],
        chosen=np.searchsorted(used, _ints(columns.chosen))[order],
        behaviour=(behaviour / behaviour.sum(axis=1, keepdims=True))[order],
        eligible=eligible[order],
        rewards=_floats(columns.rewards)[order],
        fit=np.array(columns.fit, bool)[order],
        conversation=conversation[order],
        step=step[order],
        hole=np.array([columns.holes.get(number, NO_HOLE) for number in conversation[order].tolist()], np.int64),
        slices={name: np.array(found, str)[order] for name, found in values.items()},
        state=None if state is None else state[order],
        state_version="".join(columns.versions) if columns.states else "",
        oracle=oracle[order] if has_oracle else None,
    )


def _ints(values: "array[int]") -> Ints:
    return np.frombuffer(values, np.int64).copy()


def _floats(values: "array[float]") -> Floats:
    return np.frombuffer(values, np.float64).copy()
