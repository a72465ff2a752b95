"""What can be said against a row, or a log: the kinds of findings, and those that a row shows by itself. Pure."""

import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from multimood.experience.record import SUM_TOLERANCE, unfit_reason
from multimood.experience.schema import Row
from multimood.perception.state import names_of
from multimood.taxonomy import CRITERIA

WRONG: Final[Mapping[str, str]] = MappingProxyType(
    {
        "damaged": "objects that cannot be read",
        "schema": "columns whose type is not the contract's",
        "consent": "rows without consent",
        "sum": "distributions that do not sum to 1",
        "support": "choices outside the strategies with a probability, or the eligible ones",
        "propensity": "propensities that are not the distribution's entry, or not in (0, 1]",
        "override": "overridden decisions with a choice",
        "exploration": "explored at a risk",
        "state": "states that do not fit their version",
        "reward": "rewards or scores out of their range, or a reward after a failed gate",
        "fitness": "`fit_for_ope` that says something else than the row",
        "duplicate": "rows that lie in more than one place as the same",
        "step": "steps of a conversation that two rows have",
        "gap": "steps of a conversation that no row has",
        "orphan": "feedback about an utterance that is not in the log",
    }
)
NOTED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "no_decision": "rows without their decision",
        "no_reply": "rows without their reply",
        "half": "rows in two halves, which the reader puts together",
        "older": "rows of an older version",
        "column": "columns that this version does not know, or that a file lacks",
        "keys": "keys of pseudonyms beyond the first",
        "rewards": "rows whose reward is of another version (weights, rules, panel of judges) than that of most",
        "absent": "rows that a judge of the panel could not score",
    }
)


def findings(row: Row) -> Iterator[str]:
    """What is to be said of a row by itself."""
    if not row["learning_consent"]:
        yield "consent"
    if not row["has_decision"]:
        yield "no_decision"
    if not row["has_reply"]:
        yield "no_reply"
    if row["schema_version"] is not None and row["schema_version"] < 2:  # noqa: PLR2004
        yield "older"
    if row["has_decision"]:
        yield from _of_decision(row)
    scores = [row[f"score_{name}"] for name in CRITERIA]
    reward = row["reward"]
    if (
        any(score is not None and not 1 <= score <= 10 for score in scores)  # noqa: PLR2004
        or (reward is not None and not 0 <= reward <= 1)
        or (reward and row["crisis_gate_failed"])
    ):
        yield "reward"
    if row["absent_judges"]:
        yield "absent"
    if bool(row["fit_for_ope"]) != (unfit_reason(row) is None):
        yield "fitness"


def _of_decision(row: Row) -> Iterator[str]:
    strategy = {item["label"]: item["p"] or 0.0 for item in row["strategy"] or ()}
    distributions = [row["strategy"], row["user_emotion"], row["system_emotion"]]
    if any(one and not _is_distribution([item["p"] for item in one]) for one in distributions):
        yield "sum"
    chosen, propensity = row["chosen"], row["propensity"]
    if row["override"] == "none":
        if not strategy.get(chosen, 0.0) > 0 or (row["eligible"] is not None and chosen not in row["eligible"]):
            yield "support"
        if (
            propensity is None
            or not 0 < propensity <= 1
            or not math.isclose(propensity, strategy.get(chosen, 0.0), rel_tol=1e-9)
        ):
            yield "propensity"
    elif chosen is not None:
        yield "override"
    if row["exploration"] not in {None, "none"} and row["screening_level"] != "none":
        yield "exploration"
    if row["state"] is not None and not _is_state(row["state"], row["state_version"]):
        yield "state"


def _is_distribution(values: Sequence[float]) -> bool:
    return all(p is not None and p >= 0 for p in values) and math.isclose(math.fsum(values), 1.0, abs_tol=SUM_TOLERANCE)


def _is_state(values: Sequence[float], version: str | None) -> bool:
    try:
        return len(values) == len(names_of(version or "")) and all(math.isfinite(value) for value in values)
    except ValueError:
        return False
