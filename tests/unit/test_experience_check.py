"""`multimood experience check`: a sound log is sound, and each way of breaking it is found and named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from experience_log import made_rows
from reward_events import MemorySource, context, feedback_row
from typer.testing import CliRunner

from multimood.cli import app
from multimood.contracts.v1 import events_pb2 as pb
from multimood.experience import FEEDBACK_SCHEMA, SCHEMA, Origin
from multimood.experience.check import Report, check
from multimood.experience.findings import NOTED, WRONG
from multimood.experience.schema import Row
from multimood.experience.table import encode

pytestmark = pytest.mark.unit

ROWS = made_rows(3, 3)
PLACE = "experience/v2/date=2026-09-21/reply-0-0.parquet"


def log(rows: list[Row], **others: bytes) -> MemorySource:
    return MemorySource({PLACE: encode(rows, SCHEMA), **{f"{name}.parquet": data for name, data in others.items()}})


def found(report: Report) -> dict[str, int]:
    return {kind: count for kind, count in report.counts.items() if count}


def changed(number: int = 0, **values: Any) -> list[Row]:
    return [row | values if at == number else row for at, row in enumerate(ROWS)]


def test_a_sound_log_is_sound() -> None:
    report = check(log(ROWS))
    assert found(report) == {}
    assert (report.rows, report.fit, report.objects) == (9, 9, 1)
    assert report.is_sound()


def tilted(row: Row) -> Any:
    return [item | {"p": item["p"] * 1.01} for item in row["strategy"]]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (changed(learning_consent=False), {"consent": 1}),
        (changed(strategy=tilted(ROWS[0])), {"sum": 1, "propensity": 1, "fitness": 1}),
        (changed(user_emotion=[{"label": "joy", "p": 0.5}]), {"sum": 1}),
        (changed(propensity=ROWS[0]["propensity"] / 2), {"propensity": 1}),
        (changed(chosen="others"), {"support": 1, "propensity": 1, "fitness": 1}),
        (changed(override="crisis", fit_for_ope=False, unfit_reason="override"), {"override": 1}),
        (changed(screening_level="low"), {"exploration": 1}),
        (changed(state=ROWS[0]["state"][:-1]), {"state": 1}),
        (changed(state=[float("nan")] * len(ROWS[0]["state"])), {"state": 1}),
        (changed(state_version="state-9:mesc"), {"state": 1}),
        (changed(reward=1.5), {"reward": 1}),
        (changed(score_safety=0.0), {"reward": 1}),
        (changed(crisis_gate_failed=True), {"reward": 1}),
        (changed(fit_for_ope=False), {"fitness": 1}),
        (ROWS[:1] + ROWS[2:], {"gap": 1}),
        (ROWS[1:], {"gap": 1}),
        (changed(1, step=0), {"step": 1, "gap": 1}),
        (changed(pseudonym_key="00000000"), {"keys": 1}),
        (changed(has_reply=False, fit_for_ope=False), {"no_reply": 1}),
        (changed(reward_version="reward-1+another+panel"), {"rewards": 1}),
        (changed(absent_judges=[{"judge": "empathy", "reason": "resting"}]), {"absent": 1}),
    ],
)
def test_each_fault_is_found(rows: list[Row], expected: dict[str, int]) -> None:
    report = check(log(rows))
    assert {kind: report.counts[kind] for kind in expected} == expected
    assert set(found(report)) == set(expected)
    assert report.is_sound() == (not set(expected) & set(WRONG))
    assert report.is_sound(tuple(expected))


def test_copies_are_found_and_halves_are_none() -> None:
    copies = check(log(ROWS, copy=encode(ROWS[:2], SCHEMA)))
    assert (found(copies), copies.rows) == ({"duplicate": 2}, 9)
    assert copies.named["duplicate"] == [ROWS[0]["row_id"], ROWS[1]["row_id"]]
    decided = ROWS[0] | {"has_reply": False, "reply_source": None}
    replied = ROWS[0] | {"has_decision": False}
    halves = check(log([replied, *ROWS[1:]], half=encode([decided], SCHEMA)))
    assert (found(halves), halves.rows, halves.fit) == ({"half": 1}, 9, 9)


def test_what_cannot_be_read_is_named_and_the_rest_is_judged() -> None:
    report = check(log(ROWS, broken=b"PAR1 but not really", empty=b""))
    assert (found(report), report.rows) == ({"damaged": 2}, 9)
    assert sorted(report.named["damaged"]) == ["broken.parquet", "empty.parquet"]


def test_a_schema_that_drifts_is_told() -> None:
    table = pa.Table.from_pylist(ROWS, schema=SCHEMA)
    other = pa.BufferOutputStream()
    drifted = table.drop_columns(["token_ids"]).append_column("mine", pa.array([1] * len(ROWS)))
    pq.write_table(drifted.set_column(drifted.column_names.index("step"), "step", pa.array(["0"] * len(ROWS))), other)
    report = check(MemorySource({"a.parquet": other.getvalue().to_pybytes()}))
    assert (report.counts["schema"], report.counts["column"]) == (1, 2)
    assert report.named["schema"] == ["a.parquet: step is string"]


def test_feedback_about_nobody_is_an_orphan() -> None:
    def given(name: str) -> Row:
        about = context(f"c0-{name}", conversation="c0")
        return feedback_row(pb.Feedback(context=about, rating=1.0), name, Origin(0, 0, 0))

    data = {"feedback/v2/a": encode([given("u0"), given("u9")], FEEDBACK_SCHEMA)}
    report = check(log(ROWS, **data))
    assert (found(report), report.feedback) == ({"orphan": 1}, 2)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["experience", "check", *arguments])


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[list[Row]], str]:
    def write(rows: list[Row]) -> str:
        path = tmp_path / PLACE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(rows, SCHEMA))
        return str(tmp_path)

    return write


def test_the_command_says_what_is_wrong_and_ends_with_1(folder: Callable[[list[Row]], str]) -> None:
    sound = run(folder(ROWS), "--json")
    assert sound.exit_code == 0
    assert json.loads(sound.stdout)["sound"] is True
    assert run(folder(ROWS)).stdout.count("nothing to remark") == 1
    gone = run(folder(ROWS[1:]), "--json")
    assert gone.exit_code == 1
    assert json.loads(gone.stdout)["wrong"] == {"gap": 1}
    assert "gap" in run(folder(ROWS[1:])).stdout
    assert run(folder(ROWS[1:]), "--allow", "gap").exit_code == 0
    assert run(folder(ROWS), "--allow", "gaps").exit_code == 2
    assert run("/does/not/exist").exit_code == 1
    assert run("s3://").exit_code == 1


def test_a_place_without_a_log_is_no_sound_log(tmp_path: Path) -> None:
    nothing = run(str(tmp_path), "--json")
    assert (nothing.exit_code, nothing.stdout) == (1, "")
    assert "holds no Parquet files" in nothing.stderr


def test_nothing_that_was_said_is_printed(folder: Callable[[list[Row]], str]) -> None:
    told = run(folder(changed(reward=1.5))).output + run(folder(changed(reward=1.5)), "--json").output
    assert "I hear you" not in told
    assert ROWS[0]["row_id"] in told


def test_every_kind_has_its_explanation() -> None:
    assert not set(WRONG) & set(NOTED)
