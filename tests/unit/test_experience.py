"""The experience log without servers: rows from events, objects from rows, rows from objects. All words are made up."""

import asyncio
import io
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr
from reward_events import (
    ANSWER,
    PSEUDONYMS,
    SAID,
    T0,
    MemorySource,
    MemoryStore,
    context,
    decision,
    distribution,
    feedback_row,
    reply,
    row_of,
    trust,
    vetted,
)

from multimood import topics
from multimood.bus import output
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import NotFoundError, UnavailableError
from multimood.experience import FEEDBACK_SCHEMA, Folder, Origin, Pseudonyms, Waiting, merge, rows
from multimood.experience.naming import DECISIONS, RATINGS, REPLIES, day_of, of_this_version
from multimood.experience.schema import COLUMNS, CONTENT, FEEDBACK_COLUMNS, SCHEMA, Row
from multimood.experience.sources import Found
from multimood.experience.table import EXPERIENCE_TABLE, FEEDBACK_TABLE, DamagedObjectError, encode, merged
from multimood.experience.writer import LogWriter
from multimood.local.places import checkout
from multimood.settings import PseudonymSettings, StoreSettings

pytestmark = pytest.mark.unit

HERE = Origin(1, 700, T0 // 1000)
KEY = "experience/v2/date=2026-09-21/reply-1-2.parquet"


def row(name: str = "u1", offset: int = 700, **changes: Any) -> Row:
    said = context(name)
    return row_of(decision(said, **changes), reply(said), trust(said), Origin(1, offset, T0 // 1000))


def read(data: bytes) -> list[Row]:
    return list(rows(MemorySource({KEY: data})))


# --- from events to rows ---------------------------------------------------------------------------------------------


def test_a_row_tells_what_was_perceived_decided_said_and_thought() -> None:
    (found,) = read(merged(b"", [row()], EXPERIENCE_TABLE) or b"")
    assert found["row_id"] == PSEUDONYMS.event(output(topics.DECISION, decision(context())).id)
    assert (found["tenant"], found["conversation_id"]) == ("acme", PSEUDONYMS.conversation("acme", "c1"))
    assert found["utterance_id"] == PSEUDONYMS.utterance("acme", "u1")
    assert found["occurred_at"] == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=T0)
    assert found["decided_at"] - found["occurred_at"] == timedelta(microseconds=3000)
    assert found["replied_at"] - found["occurred_at"] == timedelta(microseconds=9000)
    assert (found["locale"], found["retention_class"], found["learning_consent"]) == ("en-GB", "short", True)
    assert found["modalities"] == ["text", "video"]
    assert found["missing"] == [{"modality": "video", "reason": "no_face"}]
    assert (found["screening_level"], found["screening_rules"], found["screening_score"]) == ("none", [], 0.125)
    assert found["user_emotion"][0] == {"label": "sadness", "p": 0.7}
    assert found["modality_emotions"] == [{"modality": "text", "emotion": [{"label": "sadness", "p": 1.0}]}]
    assert [item["label"] for item in found["strategy"]] == ["open question", "restatement", "advisement"]
    assert (found["chosen"], found["propensity"], found["override"], found["step"]) == ("open question", 0.5, "none", 3)
    assert found["dialogue"][-1] == {
        "role": "user", "text": SAID, "utterance_id": found["utterance_id"], "label": "sadness"
    }  # fmt: skip
    assert (found["reply_text"], found["reply_source"], found["reply_reason"]) == (ANSWER, "generated", None)
    assert len(found["prompt_sha256"]) == 64
    assert (found["prompt_tokens"], found["completion_tokens"], found["first_token_us"]) == (120, 14, 2100)
    assert (found["reply_partition"], found["reply_offset"]) == (1, 700)
    assert (found["score_safety"], found["score_empathy"], found["score_fairness"]) == (9.5, None, None)
    assert found["judges"] == [{"criterion": "safety", "judge": "safety-rules", "judge_version": "r-1"}]
    assert (found["reward"], found["crisis_gate_failed"]) == (0.75, False)
    assert [timing["service"] for timing in found["timings"]] == ["strategist", "responder", "reward"]
    assert found["fit_for_ope"] is True
    assert found["unfit_reason"] is None


def test_a_row_tells_how_the_choice_came_about_and_how_the_reply_was_written() -> None:
    said = context()
    decided = decision(
        said, state=[0.5, 1.0], state_version="state-1:mesc", eligible=["open question", "restatement"], explored=True,
        exploration="epsilon=0.1", policy_sha256=b"\1" * 32,
        models=[pb.ModelVersion(name="fusion", version="1", sha256=b"\2" * 32), pb.ModelVersion(name="text_encoder")],
    )  # fmt: skip
    attempts = [
        pb.Attempt(index=0, faults=["privacy"], completion_tokens=9, text="Where do you live?"),
        pb.Attempt(index=1, score=0.75, sent=True, completion_tokens=14),
    ]
    written = reply(said, token_ids=[4, 5, 2**32 - 1], token_log_probs=[-0.5, -1.5, 0.0], attempts=attempts)
    (found,) = read(encode([row_of(decided, written, trust(said), HERE)], SCHEMA))
    assert (found["state"], found["state_version"]) == ([0.5, 1.0], "state-1:mesc")
    assert (found["eligible"], found["explored"]) == (["open question", "restatement"], True)
    assert (found["exploration"], found["policy_sha256"]) == ("epsilon=0.1", "01" * 32)
    assert [model["sha256"] for model in found["models"]] == ["02" * 32, None]
    assert (found["token_ids"], found["token_log_probs"]) == ([4, 5, None], [-0.5, -1.5, 0.0])
    assert found["reply_attempts"] == [
        {"index": 0, "faults": ["privacy"], "score": None, "sent": False, "completion_tokens": 9},
        {"index": 1, "faults": [], "score": 0.75, "sent": True, "completion_tokens": 14},
    ]
    assert found["attempt_texts"] == [{"index": 0, "text": "Where do you live?"}]
    assert found["pseudonym_key"] == PSEUDONYMS.key_id
    before = row_of(decision(said), reply(said))
    names = ("state", "state_version", "eligible", "explored", "exploration", "policy_sha256", "token_ids",
             "token_log_probs", "reply_attempts", "attempt_texts", "panel", "absent_judges")  # fmt: skip
    assert {name: before[name] for name in names} == dict.fromkeys(names), "an older service told none of it"


def test_a_row_names_the_weights_that_wrote_its_reply_not_those_that_should_have() -> None:
    said = context()
    for wrote, named in (("2@5f0c2b7d9e13", "2@5f0c2b7d9e13"), ("1@b179c9523d0e", "1@b179c9523d0e"), ("", None)):
        made = reply(said, model_version=wrote, model_assigned="2", rollout_step="step-1")
        (found,) = read(encode([row_of(decision(said), made, trust(said), HERE)], SCHEMA))
        assert found["reply_model_version"] == named


def test_the_file_opens_without_us_and_has_the_documented_schema() -> None:
    table = pq.read_table(io.BytesIO(merged(b"", [row()], EXPERIENCE_TABLE) or b""))
    assert table.schema.equals(SCHEMA)
    assert table.schema.metadata[b"multimood.table"] == b"experience/v2"
    assert table.schema.field("propensity").metadata[b"meaning"]


def test_nothing_known_is_null_and_not_a_made_up_value() -> None:
    said = context()
    alone = row_of(decision(said, screening=None, hops=[]))
    assert (alone["has_decision"], alone["has_reply"]) == (True, False)
    assert (alone["screening_level"], alone["decided_at"], alone["reply_text"], alone["reward"]) == (None,) * 4
    assert alone["unfit_reason"] == "no_reply"
    unknown = row_of(None, vetted(said), trust(said), HERE)
    assert (unknown["has_decision"], unknown["propensity"], unknown["dialogue"]) == (False, None, None)
    assert unknown["unfit_reason"] == "no_decision"
    assert (unknown["reply_reason"], unknown["reply_vetted_id"]) == ("crisis", "en.elevated")
    assert unknown["row_id"] == alone["row_id"]
    with pytest.raises(ValueError, match="needs a decision"):
        row_of(None, None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"override": pb.OVERRIDE_CRISIS}, "override"),
        ({"override": pb.OVERRIDE_MODEL_UNAVAILABLE}, "override"),
        ({"propensity": 0.0}, "no_propensity"),
        ({"propensity": 1.5}, "no_propensity"),
        ({"propensity": float("nan")}, "no_propensity"),
        ({"strategy": []}, "no_propensity"),
        ({"strategy": distribution(open_question=0.5, advisement=0.4)}, "no_propensity"),
        ({"chosen": "approval"}, "no_propensity"),
        ({"chosen": "restatement", "propensity": 0.25}, "not_carried_out"),
    ],
)
def test_fit_for_off_policy_evaluation(changes: dict[str, Any], reason: str | None) -> None:
    found = row(**changes)
    assert (found["fit_for_ope"], found["unfit_reason"]) == (reason is None, reason)


def test_a_fallback_is_not_the_chosen_action() -> None:
    said = context()
    answer = reply(said, source=pb.REPLY_SOURCE_VETTED_FALLBACK)
    assert row_of(decision(said), answer, trust(said), HERE)["unfit_reason"] == "not_carried_out"


def test_times_that_no_calendar_holds_are_null() -> None:
    for wild in (-1, 0, 1 << 62):
        said = context()
        said.occurred_at_us = wild
        (found,) = read(merged(b"", [row_of(decision(said), reply(said), trust(said), HERE)], EXPERIENCE_TABLE) or b"")
        assert found["occurred_at"] is None


def test_labels_of_a_later_version_keep_their_number() -> None:
    changed = decision(context())
    changed.MergeFromString(b"\x50\x63")  # field 10, override: 99
    assert row_of(changed)["override"] == "unknown_99"


# --- rows of one utterance -------------------------------------------------------------------------------------------


def halves() -> tuple[Row, Row, Row]:
    said = context()
    return (
        row_of(decision(said)),
        row_of(None, reply(said), trust(said), HERE),
        row_of(decision(said), reply(said), trust(said), HERE),
    )


def test_halves_make_the_whole_row_in_either_order() -> None:
    decided, replied, whole = halves()
    for one, other in ((decided, replied), (replied, decided), (whole, decided), (replied, whole), (whole, whole)):
        assert merge(one, other) == whole


def test_parts_are_never_mixed() -> None:
    said = context()
    first = row_of(decision(said), reply(said), trust(said), HERE)
    second = row_of(
        decision(said, chosen="restatement", propensity=0.25, stage="", policy_version="other"),
        reply(said, text="Something else."), trust(said, reward=0.1), HERE,
    )  # fmt: skip
    assert merge(first, second) == first
    assert merge(second, first) == second


# --- names -----------------------------------------------------------------------------------------------------------


def test_names_are_a_pure_function_of_the_record() -> None:
    assert REPLIES.key(Origin(3, 0, T0 // 1000)) == "experience/v2/date=2026-09-21/reply-3-0.parquet"
    assert REPLIES.key(Origin(3, 255, T0 // 1000)) == REPLIES.key(Origin(3, 0, T0 // 1000 + 5))
    assert REPLIES.key(Origin(3, 256, T0 // 1000)) == "experience/v2/date=2026-09-21/reply-3-1.parquet"
    assert DECISIONS.key(Origin(0, 1, 0)) == "experience/v2/date=1970-01-01/decision-0-0.parquet"
    assert RATINGS.key(Origin(0, 1, 86_400_000)) == "feedback/v2/date=1970-01-02/feedback-0-0.parquet"
    assert REPLIES.key(Origin(0, 1, -1)) == REPLIES.key(Origin(0, 1, 0))
    assert "date=9999-12-31" in REPLIES.key(Origin(0, 1, 1 << 62))


def test_the_day_of_a_name() -> None:
    assert day_of(KEY) == date(2026, 9, 21)
    assert day_of("some/folder/mine.parquet") is None
    assert day_of("experience/v2/date=2026-99-21/reply-1-2.parquet") is None


# --- objects ---------------------------------------------------------------------------------------------------------


def test_writing_the_same_again_changes_nothing() -> None:
    data = merged(b"", [row("u1", 700), row("u2", 701)], EXPERIENCE_TABLE)
    assert data is not None
    assert merged(data, [row("u2", 701), row("u1", 700)], EXPERIENCE_TABLE) is None
    assert merged(b"", [row("u2", 701), row("u1", 700), row("u2", 701)], EXPERIENCE_TABLE) == data


def test_an_object_grows_and_is_completed() -> None:
    decided, replied, whole = halves()
    data = merged(b"", [replied], EXPERIENCE_TABLE) or b""
    data = merged(data, [row("u2", 650), decided], EXPERIENCE_TABLE) or b""
    assert data == merged(b"", [whole, row("u2", 650)], EXPERIENCE_TABLE)
    assert [PSEUDONYMS.of_row(found) for found in read(data)] == ["u2", "u1"]


def test_columns_that_came_later_survive_and_those_that_a_file_lacks_are_null() -> None:
    table = pa.Table.from_pylist([row("u1")], schema=SCHEMA)
    out = io.BytesIO()
    pq.write_table(table.append_column("new_column", pa.array([42])).drop_columns(["retention_class"]), out)
    data = merged(out.getvalue(), [row("u2", 701)], EXPERIENCE_TABLE) or b""
    assert [(found["new_column"], found["retention_class"]) for found in read(data)] == [(42, None), (None, "short")]
    assert read(out.getvalue())[0]["retention_class"] is None


@pytest.mark.parametrize("data", [b"rubbish", b"PAR1" + bytes(100) + b"PAR1"])
def test_what_is_no_table_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(DamagedObjectError):
        merged(data, [row()], EXPERIENCE_TABLE)
    with pytest.raises(DamagedObjectError):
        read(data)


def test_somebody_elses_table_is_none_of_ours() -> None:
    out = io.BytesIO()
    pq.write_table(pa.table({"a": [1]}), out)
    with pytest.raises(DamagedObjectError):
        merged(out.getvalue(), [row()], EXPERIENCE_TABLE)
    with pytest.raises(DamagedObjectError):
        read(out.getvalue())


# --- reading ---------------------------------------------------------------------------------------------------------


def test_every_row_once_whatever_the_objects_hold() -> None:
    decided, replied, whole = halves()
    source = MemorySource(
        {
            "experience/v2/date=2026-09-21/decision-1-0.parquet": encode([decided], SCHEMA),
            "experience/v2/date=2026-09-21/reply-1-2.parquet": encode([replied, row("u2", 701)], SCHEMA),
            "experience/v2/date=2026-09-22/reply-1-3.parquet": encode([row("u2", 701), row("u3", 800)], SCHEMA),
            "copies/whole.parquet": encode([whole, row("u3", 800)], SCHEMA),
        }
    )
    found = {PSEUDONYMS.of_row(one): one for one in rows(source)}
    assert len(list(rows(source))) == 3
    assert set(found) == {"u1", "u2", "u3"}
    assert found["u1"]["fit_for_ope"] is True
    assert found["u1"]["reply_text"] == ANSWER


def test_days_are_chosen_by_name() -> None:
    source = MemorySource(
        {
            f"experience/v2/date=2026-09-{day}/reply-0-0.parquet": encode([row(f"u{day}")], SCHEMA)
            for day in (20, 21, 22)
        }
        | {"mine.parquet": encode([row("mine")], SCHEMA)}
    )
    found = {PSEUDONYMS.of_row(one) for one in rows(source, days=(date(2026, 9, 21), date(2026, 9, 21)))}
    assert found == {"u21", "mine"}


def test_feedback_is_joined_by_utterance() -> None:
    def given(name: str, feedback_id: str, **values: Any) -> Row:
        return feedback_row(pb.Feedback(context=context(name), **values), feedback_id, HERE)

    ratings = [given("u1", "f2", rating=0.0), given("u1", "f1", intensity=0.5, source="user"), given("u9", "f3")]
    data = merged(b"", ratings, FEEDBACK_TABLE) or b""
    source = MemorySource(
        {KEY: encode([row("u1"), row("u2")], SCHEMA), "feedback/v2/a.parquet": data, "feedback/v2/b.parquet": data}
    )
    first, second = rows(source, feedback=True)
    given_of = sorted(first["feedback"], key=lambda one: one["rating"] is not None)
    assert [(one["rating"], one["source"]) for one in given_of] == [(None, "user"), (0.0, None)]
    assert second["feedback"] == []
    assert "feedback" not in next(iter(rows(source)))


def test_a_folder_and_a_file_are_sources(tmp_path: Path) -> None:
    place = tmp_path / KEY
    place.parent.mkdir(parents=True)
    place.write_bytes(encode([row()], SCHEMA))
    (tmp_path / "notes.txt").write_text("no table")
    assert [PSEUDONYMS.of_row(one) for one in rows(Folder(tmp_path))] == ["u1"]
    assert [PSEUDONYMS.of_row(one) for one in rows(Folder(place))] == ["u1"]
    with pytest.raises(NotFoundError, match="does not exist"):
        list(rows(Folder(tmp_path / "nowhere")))


# --- writing ---------------------------------------------------------------------------------------------------------


def writer(store: MemoryStore, **changes: Any) -> LogWriter:
    return LogWriter(store, "experience", EXPERIENCE_TABLE, **{"flush_s": 0.01, "longest_pause_s": 0.01, **changes})


def kept(store: MemoryStore) -> list[str]:
    return sorted(PSEUDONYMS.of_row(one) for one in rows(MemorySource(store.objects)))


async def test_rows_that_come_together_are_written_together() -> None:
    store = MemoryStore()
    log = writer(store)
    await asyncio.gather(*(log.add(KEY, row(f"u{n}", n)) for n in range(20)), log.add("experience/b.parquet", row("v")))
    assert sorted(store.writes) == ["experience/b.parquet", KEY]
    assert len(kept(store)) == 21
    await log.add(KEY, row("late", 50))
    assert store.writes.count(KEY) == 2
    assert len(kept(store)) == 22


async def test_a_whole_window_does_not_wait() -> None:
    store = MemoryStore()
    log = writer(store, flush_s=60)
    async with asyncio.timeout(30):
        await asyncio.gather(*(log.add(KEY, row(f"u{n}", n)) for n in range(256)))
    assert store.writes == [KEY]


async def test_at_the_end_nothing_waits() -> None:
    store = MemoryStore()
    log = writer(store, flush_s=60)
    waiting = asyncio.create_task(log.add(KEY, row("u1")))
    await asyncio.sleep(0)
    log.hurry()
    async with asyncio.timeout(10):
        await waiting
        await log.add(KEY, row("u2"))
    assert kept(store) == ["u1", "u2"]


async def test_nobody_is_let_go_before_the_store_has_the_row() -> None:
    store = MemoryStore(down=True)
    log = writer(store)
    waiting = [asyncio.create_task(log.add(KEY, row(f"u{n}", n))) for n in range(3)]
    await asyncio.sleep(0.1)
    waiting.append(asyncio.create_task(log.add(KEY, row("u3", 3))))
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in waiting)
    store.down = False
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting)
    assert kept(store) == ["u0", "u1", "u2", "u3"]


async def test_two_writers_of_one_object_lose_nothing() -> None:
    """What a rebalance makes: the old owner still writes while the new one begins."""
    store = MemoryStore(slow=3)
    old, new = writer(store, flush_s=0.001), writer(store, flush_s=0.001)
    await asyncio.gather(*((old, new)[n % 2].add(KEY, row(f"u{n}", n)) for n in range(40)))
    assert len(kept(store)) == 40


async def test_a_damaged_object_is_kept_and_does_not_stop_the_log() -> None:
    store = MemoryStore({KEY: b"not a table"})
    await writer(store).add(KEY, row())
    assert kept(store) == ["u1"]
    (aside,) = (key for key in store.objects if key != KEY)
    assert store.objects[aside] == b"not a table"
    assert aside.startswith(f"{KEY}.damaged-")


async def test_a_row_that_cannot_be_written_fails_alone() -> None:
    store = MemoryStore()
    log = writer(store)
    bad = row("bad") | {"step": "not a number"}
    outcomes = await asyncio.gather(
        log.add(KEY, row("u1")), log.add(KEY, bad), log.add(KEY, row("u2")), return_exceptions=True
    )
    assert [type(outcome).__mro__[-2] for outcome in outcomes if outcome is not None] == [BaseException]
    assert (outcomes[0], outcomes[2]) == (None, None)
    assert kept(store) == ["u1", "u2"]


async def test_a_caller_that_gave_up_disturbs_nobody() -> None:
    store = MemoryStore()
    log = writer(store)
    gone, stays = (asyncio.create_task(log.add(KEY, row(name))) for name in ("u1", "u2"))
    await asyncio.sleep(0)
    gone.cancel()
    await stays
    assert log.waiting == 0
    assert "u2" in kept(store)


async def test_closing_ends_the_tasks() -> None:
    log = writer(MemoryStore(down=True))
    waiting = asyncio.create_task(log.add(KEY, row()))
    await asyncio.sleep(0.03)
    await log.close()
    assert not log._tasks
    waiting.cancel()


# --- the contract ----------------------------------------------------------------------------------------------------


def test_the_documentation_has_every_column_with_its_type_and_meaning() -> None:
    text = (checkout() / "docs" / "experience.md").read_text()
    for table in (COLUMNS, FEEDBACK_COLUMNS):
        for column in table:
            line = f"| `{column.name}` | `{column.type}` | {column.meaning} |"
            assert line in text, f"docs/experience.md lacks the line: {line}"


def test_the_schema_only_grows() -> None:
    """Fails when a column is renamed, retyped or removed: that would be version 3."""
    assert len(SCHEMA.names) == len(set(SCHEMA.names))
    assert set(CONTENT) < set(SCHEMA.names)
    frozen = (Path(__file__).parent / "experience_v2.txt").read_text().splitlines()
    assert frozen == [f"{field.name}: {field.type}" for field in SCHEMA][: len(frozen)]


# --- the version before ----------------------------------------------------------------------------------------------


def of_version_1(name: str) -> bytes:
    """An object as version 1 left it: its columns and types, frozen, with ids as the platform gave them."""
    kinds = {line.split(": ", 1)[0]: line.split(": ", 1)[1] for line in V1.read_text().splitlines()}
    assert {kinds[field.name] for field in SCHEMA if field.name == "models"} == {
        "list<item: struct<name: string, version: string>>"
    }
    old = pa.list_(pa.struct([pa.field("name", pa.string()), pa.field("version", pa.string())]))
    schema = pa.schema([field.with_type(old) if field.name == "models" else field for field in SCHEMA
                        if field.name in kinds])  # fmt: skip
    assert [f"{field.name}: {field.type}" for field in schema] == V1.read_text().splitlines()
    whole = row(name) | {"schema_version": 1, "row_id": output(topics.DECISION, decision(context(name))).id,
                         "conversation_id": "c1", "utterance_id": name,
                         "models": [{"name": "fusion", "version": "1"}]}  # fmt: skip
    return encode([whole], schema)


V1 = Path(__file__).parent / "experience_v1.txt"


def test_a_log_of_both_versions_reads_as_one() -> None:
    source = MemorySource(
        {
            "experience/v1/date=2026-09-20/reply-0-0.parquet": of_version_1("old"),
            "experience/v2/date=2026-09-21/reply-0-0.parquet": encode([row("new")], SCHEMA),
        }
    )
    old, new = rows(source)
    assert list(old) == list(new) == SCHEMA.names
    assert (old["schema_version"], old["utterance_id"], old["conversation_id"]) == (1, "old", "c1")
    assert old["models"] == [{"name": "fusion", "version": "1", "sha256": None}]
    assert (old["state"], old["explored"], old["pseudonym_key"], old["token_ids"]) == (None,) * 4
    assert (old["chosen"], old["propensity"], old["fit_for_ope"]) == ("open question", 0.5, True)
    assert (new["schema_version"], PSEUDONYMS.of_row(new)) == (2, "new")


def test_a_version_that_is_not_known_is_named_and_not_guessed() -> None:
    source = MemorySource({"copy.parquet": encode([row() | {"schema_version": 3}], SCHEMA)})
    with pytest.raises(DamagedObjectError, match="version 3; this reader knows 1, 2: take a newer multimood"):
        list(rows(source))


def test_what_an_older_version_named_is_written_under_this_one() -> None:
    old = "experience/v1/date=2026-09-21/reply-1-2.parquet"
    assert of_this_version(old) == "experience/v2/date=2026-09-21/reply-1-2.parquet"
    assert of_this_version("feedback/v1/date=2026-09-21/feedback-0-0.parquet").startswith("feedback/v2/")
    assert of_this_version(KEY) == KEY


# --- pseudonyms ------------------------------------------------------------------------------------------------------


def test_no_id_of_the_platform_is_in_the_log() -> None:
    said = context("utterance-of-anna", conversation="anna@example.org")
    dialogue = [
        pb.Turn(role=pb.ROLE_SYSTEM, text="Hello.", utterance_id="earlier-of-anna"),
        pb.Turn(role=pb.ROLE_USER, text=SAID, utterance_id="utterance-of-anna"),
    ]
    decided = decision(said, dialogue=dialogue)
    whole = row_of(decided, reply(said), trust(said), HERE)
    rating = feedback_row(pb.Feedback(context=said, rating=1.0), "f", HERE)
    assert "anna" not in repr(whole) + repr(rating)
    unkeyed = output(topics.DECISION, decided).id
    assert whole["row_id"] != unkeyed, "a guessed id could be confirmed without the key"


def test_pseudonyms_stay_the_same_and_depend_on_the_key() -> None:
    one, same, other = Pseudonyms(b"one"), Pseudonyms(b"one"), Pseudonyms(b"other")
    assert one.conversation("t", "c") == same.conversation("t", "c")
    assert one.conversation("t", "c") != other.conversation("t", "c")
    assert one.key_id == same.key_id != other.key_id
    names = [("t", "c"), ("t2", "c"), ("tc", ""), ("", "tc"), ("t/c", "u"), ("t", "c/u")]
    apart = [make(*name) for name in names for make in (one.conversation, one.utterance)]
    assert len(set(apart)) == len(apart)
    assert all(re.fullmatch("[0-9a-f]{32}", name) for name in apart)
    assert str(uuid.UUID(one.row("t/c/u"))) == one.row("t/c/u")


def test_the_key_is_set_or_derived_from_the_store_s_secret() -> None:
    store = StoreSettings(secret_key=SecretStr("s3-secret"))
    own = PseudonymSettings(key=SecretStr("k" * 16))
    derived = Pseudonyms.of(PseudonymSettings(), store)
    assert derived.key_id == Pseudonyms.of(PseudonymSettings(), store).key_id
    assert derived.key_id != Pseudonyms.of(PseudonymSettings(), StoreSettings(secret_key=SecretStr("rotated"))).key_id
    assert Pseudonyms.of(own, store).key_id == Pseudonyms.of(own, StoreSettings()).key_id
    with pytest.raises(ValueError, match="fewer than 16 characters"):
        PseudonymSettings(key=SecretStr("short"))


# --- what came later -------------------------------------------------------------------------------------------------

REPLIED = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=T0 + 9000)


def conversation(
    *, after: timedelta = timedelta(minutes=5), ratings: dict[timedelta, float] | None = None
) -> MemorySource:
    """Two turns, and ratings of the first one so long after its reply."""
    first, second = context("u1"), context("u2")
    second.occurred_at_us += int(after.total_seconds() * 1e6)
    whole = [
        row_of(decision(one, step=step, intensity=0.75 - step / 4), reply(one), trust(one), Origin(0, step, T0 // 1000))
        for step, one in enumerate((first, second))
    ]
    given = []
    for number, (when, rating) in enumerate((ratings or {}).items()):
        about = context("u1")
        about.occurred_at_us = T0 + 9000 + int(when.total_seconds() * 1e6)
        given.append(feedback_row(pb.Feedback(context=about, rating=rating), f"f{number}", HERE))
    return MemorySource({KEY: encode(whole, SCHEMA), "feedback/v2/a.parquet": merged(b"", given, FEEDBACK_TABLE) or
                         encode([], FEEDBACK_SCHEMA)})  # fmt: skip


def later(source: MemorySource, now: timedelta, **waiting: Any) -> list[Row]:
    return list(rows(source, feedback=True, waiting=Waiting(**waiting), now=REPLIED + now))


def test_feedback_is_observed_pending_or_defaulted() -> None:
    hour = timedelta(hours=1)
    rated = conversation(ratings={hour: 1.0, 2 * hour: 0.5, 30 * hour: 0.0})
    first, second = later(rated, 3 * hour, rating=0.25)
    assert (first["feedback_status"], first["rating"], len(first["feedback"])) == ("observed", 0.5, 2)
    assert (second["feedback_status"], second["rating"], second["feedback"]) == ("pending", None, [])
    first, second = later(rated, 25 * hour, rating=0.25, intensity=0.5)
    assert (first["rating"], first["intensity_after"]) == (0.5, 0.5)
    assert (second["feedback_status"], second["rating"], second["intensity_after"]) == ("defaulted", 0.25, 0.5)
    first, _ = later(rated, 99 * hour, window=31 * hour)
    assert (first["rating"], len(first["feedback"])) == (0.0, 3)
    first, _ = later(rated, 99 * hour, window=hour / 2)
    assert (first["feedback_status"], first["rating"]) == ("defaulted", None)


def test_the_next_turn_tells_how_the_reply_was_taken() -> None:
    first, second = later(conversation(), timedelta(hours=1))
    assert (first["next_intensity"], first["next_emotion"]) == (0.5, "sadness")
    assert (second["next_intensity"], second["next_emotion"]) == (None, None)
    first, _ = later(conversation(after=timedelta(hours=25)), timedelta(hours=30))
    assert (first["next_intensity"], first["next_emotion"]) == (None, None), "it came after the window"


def test_the_next_turn_is_found_on_the_next_day() -> None:
    first, second = (encode([one], SCHEMA) for one in rows(conversation()))
    source = MemorySource(
        {"experience/v2/date=2026-09-21/reply-0-0.parquet": first,
         "experience/v2/date=2026-09-22/reply-0-0.parquet": second}
    )  # fmt: skip
    (only,) = rows(source, days=(date(2026, 9, 21), date(2026, 9, 21)), feedback=True)
    assert only["next_intensity"] == 0.5


# --- objects that go while they are read -----------------------------------------------------------------------------


@dataclass
class Vanishing(MemorySource):
    """A compaction happens after so many reads: two objects are put into one."""

    after: int = 0

    def read(self, name: str) -> bytes:
        self.after -= 1
        if self.after == 0:
            data = [self.kept.pop(one) for one in sorted(self.kept)]
            found = [one for part in data for one in rows(MemorySource({"a.parquet": part}))]
            self.kept["experience/v2/date=2026-09-21/rows-1.parquet"] = encode(found, SCHEMA)
        if name not in self.kept:
            raise NotFoundError(name)
        return self.kept[name]


@pytest.mark.parametrize("after", range(1, 8))
def test_every_row_once_though_a_compaction_comes_between(after: int) -> None:
    source = Vanishing(
        {f"experience/v2/date=2026-09-21/reply-0-{n}.parquet": encode([row(f"u{n}", n), row("twice", 9)], SCHEMA)
         for n in range(3)},
        after,
    )  # fmt: skip
    assert sorted(PSEUDONYMS.of_row(one) for one in rows(source)) == ["twice", "u0", "u1", "u2"]


def test_rows_that_are_gone_for_good_are_not_passed_over() -> None:
    source = Vanishing({KEY: encode([row()], SCHEMA)}, 2)
    source.objects = lambda: [Found(KEY, 1)]  # type: ignore[method-assign]
    with pytest.raises(UnavailableError, match="went away"):
        list(rows(source))
