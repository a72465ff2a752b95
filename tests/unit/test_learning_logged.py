"""What is read of a log to learn from: parts, samples, fingerprints, versions, and what cannot be used."""

import random
from collections import Counter
from pathlib import Path

import pytest
from learning_logs import part_of, rows_of, simulated

from multimood.errors import ConfigurationError, MultimoodError, NotFoundError
from multimood.experience import Folder, rows
from multimood.experience.schema import SCHEMA, Row
from multimood.experience.table import encode
from multimood.learning.logged import Wanted, load
from multimood.learning.sampling import Crowd, Sampling
from multimood.perception.state import names_of

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def log() -> list[Row]:
    return simulated(60)


def changed(log: list[Row], **columns: object) -> list[Row]:
    return [row | columns for row in log]


def test_the_parts_share_no_conversation_and_lose_none(log: list[Row]) -> None:
    parts = [part_of(log, "train"), part_of(log, "held")]
    assert sum(found.prints[found.part].rows for found in parts) == len(log)
    assert parts[0].log.conversations + parts[1].log.conversations == len({row["conversation_id"] for row in log})
    share = Counter(Sampling(0, 0.3).part(row) for row in log)["held"] / len(log)
    assert 0.15 < share < 0.45
    assert parts[0].log.contexts.shape[1] == len(names_of("state-1:mesc"))


def test_neither_parts_nor_fingerprints_depend_on_the_order_of_rows(log: list[Row]) -> None:
    mixed = log.copy()
    random.Random(1).shuffle(mixed)
    one, other = part_of(log, "train"), part_of(mixed, "train")
    assert one.as_json() == other.as_json()
    assert str(part_of(log, "held").prints["train"]) == str(one.prints["train"])


def test_the_fingerprint_tells_logs_apart(log: list[Row]) -> None:
    before = str(part_of(log, "train").prints["train"])
    others = [log[:-1], changed(log, reward_version="v2"), changed(log, reward=0.5), changed(log, policy_version="p2")]
    prints = {str(part_of(other, "train").prints["train"]) for other in others}
    assert len(prints) == len(others)
    assert before not in prints


def test_of_a_large_log_whole_conversations_are_taken_in_any_order(log: list[Row]) -> None:
    few = part_of(log, "train", most_rows=100, held=0.01)
    mixed = log[::-1]
    assert part_of(mixed, "train", most_rows=100, held=0.01).as_json() == few.as_json()
    assert sum(found.rows for found in few.prints.values()) <= 100
    assert 0 < few.sampled < 1
    lengths = Counter(row["conversation_id"] for row in log)
    sampling, crowd = Sampling(0, 0.01), Crowd(100)
    for row in log:
        crowd.add(sampling.place(row))
    taken = Counter(row["conversation_id"] for row in log if sampling.place(row) < crowd.below())
    assert taken
    assert all(lengths[name] == number for name, number in taken.items())


def test_mixed_rewards_are_refused_unless_one_is_named(log: list[Row]) -> None:
    half = len(log) // 2
    mixed = changed(log[:half], reward_version="v1") + changed(log[half:], reward_version="v2")
    with pytest.raises(ConfigurationError, match=r"several versions \(v1 .*--reward-version"):
        part_of(mixed, "train")
    found = part_of(mixed, "train", reward_version="v1")
    assert found.left_out["other_reward_version"] > 0
    assert len(found.log.decisions()) < len(part_of(log, "train").log.decisions())
    with pytest.raises(ConfigurationError, match="no reward is of version 'v3'"):
        part_of(mixed, "train", reward_version="v3")
    assert part_of(mixed, "train", reward="rating").left_out.keys() <= {"override"}


def test_mixed_taxonomies_are_refused_unless_one_is_named(log: list[Row]) -> None:
    other = [0.0] * len(names_of("state-1:esconv"))
    strange = changed(log[:50], state=other, state_version="state-1:esconv")
    mixed = strange + log[50:]
    with pytest.raises(ConfigurationError, match="--taxonomy"):
        part_of(mixed, "train")
    assert part_of(mixed, "train", taxonomy="mesc").left_out["other_state"] > 0
    with pytest.raises(NotFoundError, match="for the taxonomy 'esconv'"):
        part_of(log, "train", taxonomy="esconv")


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"state": None, "state_version": None}, "only logs of version 2 with the column state"),
        ({"override": "crisis"}, "no decision of"),
        ({"reward": None}, "no_reward"),
        ({"reward": float("nan")}, "no_reward"),
        ({"state": [0.0]}, "no_state"),
        ({"strategy": None}, "no_propensity"),
        ({"fit_for_ope": False, "unfit_reason": "not_carried_out"}, "not_carried_out"),
        ({"has_decision": False}, "no decision of"),
    ],
)
def test_a_log_that_cannot_be_learned_from_says_why(log: list[Row], columns: Row, told: str) -> None:
    with pytest.raises(NotFoundError, match=told):
        part_of(changed(log, **columns), "train")


def test_an_empty_log_says_so() -> None:
    with pytest.raises(NotFoundError, match="no decision of 0 rows"):
        part_of([], "train")


def test_some_unusable_rows_cost_only_themselves(log: list[Row]) -> None:
    free = [row for row in log if row["override"] == "none"]
    other = [{"label": "hypnosis", "p": 1.0}]
    nothing = [float("nan"), *free[4]["state"][1:]]
    broken = [
        free[0] | {"reward": float("nan")}, free[1] | {"state": None}, free[2] | {"propensity": 0.123},
        free[3] | {"strategy": other, "chosen": "hypnosis", "propensity": 1.0}, free[4] | {"state": nothing},
        free[5] | {"override": "crisis", "state": [1.0]}, free[6] | {"override": "crisis", "state": nothing},
    ]  # fmt: skip
    found = part_of(broken + free[7:], "train", held=0.001)
    assert found.left_out == {
        "no_reward": 1, "no_state": 2, "propensity_differs": 1, "other_strategies": 1, "override": 2,
    }  # fmt: skip
    assert len(found.log.decisions()) == len(free) - 7


def test_a_log_on_disk_is_read_in_the_needed_columns(log: list[Row], tmp_path: Path) -> None:
    plain = [{name: row.get(name) for name in SCHEMA.names} for row in log]
    (tmp_path / "a.parquet").write_bytes(encode(plain[:200], SCHEMA))
    (tmp_path / "b.parquet").write_bytes(encode(plain[190:], SCHEMA))  # ten of them twice
    found = load(lambda columns: rows(Folder(tmp_path), columns=columns), Wanted(), "train")
    assert found.as_json() == load(rows_of(log), Wanted(), "train").as_json()
    (tmp_path / "c.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(MultimoodError, match=r"c\.parquet"):
        load(lambda columns: rows(Folder(tmp_path), columns=columns), Wanted(), "train")


@pytest.mark.parametrize("wrong", [{"reward": "luck"}, {"held": 0.0}, {"held": 1.0}, {"most_rows": 0}])
def test_wishes_that_make_no_sense_are_named(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Wanted(**wrong)  # type: ignore[arg-type]
