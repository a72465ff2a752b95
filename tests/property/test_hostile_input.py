"""A short run of the fuzzer (`tests.fuzz.run` is the long one): hostile events and files have typed outcomes."""

from pathlib import Path

import pytest
from fuzz.child import chance_of
from fuzz.hostile import case_of
from fuzz.outcome import Outcome
from fuzz.pool import run_all
from fuzz.run import fuzz, targets_of

from multimood.topics import TOPICS

pytestmark = pytest.mark.property
COUNTS = {"event": 210, "media": 66}


@pytest.mark.slow
@pytest.mark.parametrize("kind", COUNTS)
def test_hostile_input_has_a_typed_outcome(kind: str, tmp_path: Path) -> None:
    tally = fuzz(kind, targets_of(kind), COUNTS[kind], seed="ci", processes=2, inputs=tmp_path)
    assert tally.findings == []
    assert tally.cases == COUNTS[kind]
    assert set(tally.ends) == set(targets_of(kind))


def test_a_case_is_made_of_its_seed_and_number_alone() -> None:
    for topic in TOPICS:
        first, again = (case_of(topic, chance_of("s", topic.name, 3)).record for _ in range(2))
        assert (first.value, first.key, first.timestamp) == (again.value, again.key, again.timestamp)


@pytest.mark.slow
def test_what_must_not_happen_is_told(tmp_path: Path) -> None:
    """A child that dies, or that does not answer in time, is a finding; the others' cases go on."""
    told: dict[int, Outcome] = {}

    def see(_target: str, number: int, outcome: Outcome, _input: Path) -> None:
        told[number] = outcome

    cases = [("no-such-topic", 0), (TOPICS[0].name, 1)]
    run_all("event", "s", cases, limit_s=10.0, processes=1, scratch=tmp_path, seen=see)
    assert told[0].finding.startswith("KeyError")
    assert told[1].finding == ""
    run_all("no-such-kind", "s", [("x y z", 0)], limit_s=10.0, processes=1, scratch=tmp_path, seen=see)
    assert told[0].finding.startswith("crash")
