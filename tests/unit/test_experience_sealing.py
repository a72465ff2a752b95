"""What was said lies sealed in the log: it opens for who has the key, and for nobody once the key is gone."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from reward_events import ANSWER, PSEUDONYMS, SAID, MemorySource, MemoryStore, context, decision, reply, row_of, trust

from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import UnavailableError
from multimood.experience.reader import rows
from multimood.experience.record import merge
from multimood.experience.schema import CONTENT, SCHEMA, SEALED
from multimood.experience.sealing import RowOpener, RowSeals, sealed_row, unsealed
from multimood.experience.table import EXPERIENCE_TABLE, encode, merged
from multimood.privacy import ErasedError, Keyring, MasterKeys
from multimood.privacy.keyring import destroy
from multimood.privacy.keys import DataKey

pytestmark = pytest.mark.unit

MASTER = MasterKeys("a master key for tests")
NAME = "experience/v2/date=2026-09-21/reply-0-0.parquet"
REFUSED = "Tell me where you live, and your bank account."
WORDS = (SAID.encode(), ANSWER.encode(), b"Hello.", REFUSED.encode())


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


def whole(**changes: Any) -> dict[str, Any]:
    said = context()
    attempts = [pb.Attempt(index=0, faults=["privacy"], text=REFUSED), pb.Attempt(index=1, sent=True)]
    written = reply(said, token_ids=[5, 7], token_log_probs=[-0.5, -1.0], attempts=attempts)
    return row_of(decision(said), written, trust(said)) | changes


def sealed(store: MemoryStore, runner: asyncio.Runner, row: dict[str, Any] | None = None) -> dict[str, Any]:
    seals = RowSeals(Keyring(store, "keys", MASTER))
    return runner.run(seals.sealed(whole() if row is None else row, PSEUDONYMS.subject(context()), 10))


def read(data: bytes, opens: RowOpener | None = None) -> dict[str, Any]:
    (found,) = rows(MemorySource({NAME: data}), opens=opens)
    return found


def test_no_word_is_in_the_file_and_all_of_them_come_back(runner: asyncio.Runner) -> None:
    store, plain = MemoryStore(), whole()
    row = sealed(store, runner)
    assert all(row[name] is None for name in CONTENT)
    assert not any(words in row[column] for column in SEALED for words in WORDS)
    assert {name: row[name] for name in plain if name not in {*CONTENT, *SEALED}} == {
        name: plain[name] for name in plain if name not in {*CONTENT, *SEALED}
    }
    data = encode([row], SCHEMA)
    assert read(data)["reply_text"] is None, "a reader without keys"
    opens = RowOpener(Keyring(store, "keys", MASTER), runner)
    opened = read(data, opens)
    assert {name: opened[name] for name in CONTENT} == {name: plain[name] for name in CONTENT}
    assert opened["content_status"] == "opened"
    assert dict(opens.counts) == {"opened": 1}


def test_a_row_in_the_clear_is_read_as_ever(runner: asyncio.Runner) -> None:
    opens = RowOpener(None, runner)
    found = read(encode([whole()], SCHEMA), opens)
    assert found["reply_text"] == ANSWER
    assert found["content_status"] == "clear"


def test_copies_for_readers_without_a_key_hold_what_opened_and_nothing_sealed(runner: asyncio.Runner) -> None:
    store, plain = MemoryStore(), whole()
    row, other = sealed(store, runner), whole(row_id="00000000-0000-0000-0000-000000000001")
    (copy, clear) = unsealed([row, other], RowOpener(Keyring(store, "keys", MASTER), runner))
    assert {name: copy[name] for name in CONTENT} == {name: plain[name] for name in CONTENT}
    assert not any(copy[column] or clear[column] for column in SEALED)
    assert clear["reply_text"] == ANSWER
    (unopened,) = unsealed([row], RowOpener(None, runner))
    assert not any(unopened[name] for name in (*CONTENT, *SEALED))


def test_once_the_key_is_gone_the_reason_is_counted(runner: asyncio.Runner) -> None:
    store = MemoryStore()
    data = encode([sealed(store, runner)], SCHEMA)
    without = RowOpener(None, runner)
    assert read(data, without)["content_status"] == "sealed"
    runner.run(destroy(store, "keys", PSEUDONYMS.subject(context()), 20))
    opens = RowOpener(Keyring(store, "keys", MASTER), runner)
    found = read(data, opens)
    assert found["dialogue"] is None
    assert found["reward"] == 0.75, "what is no content stays readable"
    assert dict(opens.counts) == {"erased": 1}


def test_what_was_changed_or_moved_does_not_open(runner: asyncio.Runner) -> None:
    store = MemoryStore()
    row = sealed(store, runner)
    opens = RowOpener(Keyring(store, "keys", MASTER), runner)
    for changed in (
        row | {"row_id": "another"},
        row | {"dialogue_sealed": row["reply_sealed"]},
        row | {"reply_sealed": row["reply_sealed"][:-1] + bytes([row["reply_sealed"][-1] ^ 1])},
        row | {"reply_sealed": b"x"},
    ):
        assert opens(changed)["content_status"] == "damaged"


def test_a_key_store_that_is_away_makes_reading_fail(runner: asyncio.Runner) -> None:
    store = MemoryStore()
    data = encode([sealed(store, runner)], SCHEMA)
    store.down = True
    with pytest.raises(UnavailableError):
        read(data, RowOpener(Keyring(store, "keys", MASTER), runner))


def test_halves_are_sealed_apart_and_merged_as_ever(runner: asyncio.Runner) -> None:
    store, said = MemoryStore(), context()
    first = sealed(store, runner, row_of(decision(said)))
    second = sealed(store, runner, row_of(None, reply(said), trust(said)))
    assert (first["reply_sealed"], second["dialogue_sealed"]) == (None, None)
    opened = RowOpener(Keyring(store, "keys", MASTER), runner)(merge(first, second))
    assert opened["dialogue"][-1]["text"] == SAID
    assert opened["reply_text"] == ANSWER


def test_written_again_after_a_crash_it_changes_nothing(runner: asyncio.Runner) -> None:
    store = MemoryStore()
    data = merged(b"", [sealed(store, runner)], EXPERIENCE_TABLE)
    assert data is not None
    assert merged(data, [sealed(store, runner)], EXPERIENCE_TABLE) is None


def test_old_files_without_the_new_columns_are_read(runner: asyncio.Runner) -> None:
    import pyarrow as pa

    later = {"subject", *SEALED}
    older = pa.schema([field for field in SCHEMA if field.name not in later], metadata=SCHEMA.metadata)
    found = read(encode([whole()], older), RowOpener(None, runner))
    assert found["subject"] is None
    assert found["content_status"] == "clear"


def test_what_was_sealed_before_there_were_texts_of_attempts_opens(runner: asyncio.Runner) -> None:
    import pyarrow as pa

    store = MemoryStore()
    row = sealed(store, runner, whole(attempt_texts=None))
    later = {"attempt_texts", "panel", "absent_judges"}
    older = pa.schema([field for field in SCHEMA if field.name not in later], metadata=SCHEMA.metadata)
    data = encode([row], older)
    found = read(data, RowOpener(Keyring(store, "keys", MASTER), runner))
    assert (found["reply_text"], found["attempt_texts"], found["panel"]) == (ANSWER, None, None)
    newer = sealed(store, runner, row_of(decision(context("u2")), reply(context("u2")), trust(context("u2"))))
    both = merged(data, [newer], EXPERIENCE_TABLE)
    assert both is not None
    kept = {one["row_id"]: one for one in rows(MemorySource({NAME: both}))}
    assert set(kept) == {row["row_id"], newer["row_id"]}, "an old file takes new rows"


async def test_rows_wait_while_the_key_store_is_away() -> None:
    store = MemoryStore(down=True)
    seals = RowSeals(Keyring(store, "keys", MASTER), longest_pause_s=0.02)
    waiting = asyncio.create_task(seals.sealed(whole(), PSEUDONYMS.subject(context()), 10))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    store.down = False
    assert (await asyncio.wait_for(waiting, 5))["dialogue_sealed"]


async def test_what_was_said_before_an_erasure_is_not_sealed_anew() -> None:
    store, subject = MemoryStore(), PSEUDONYMS.subject(context())
    await destroy(store, "keys", subject, 10)
    seals = RowSeals(Keyring(store, "keys", MASTER))
    with pytest.raises(ErasedError):
        await seals.sealed(whole(), subject, 10)
    assert (await seals.sealed(whole(), subject, 11))["reply_sealed"]


def test_a_row_with_nothing_said_is_not_sealed() -> None:
    empty = whole() | dict.fromkeys(CONTENT)
    assert sealed_row(empty, DataKey.random()) == empty
