"""A person out of the log and its exports: their rows and nobody else's, while others write."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from reward_events import PSEUDONYMS, MemorySource, context, decision, feedback_row, reply, row_of, trust

from multimood.contracts.v1 import events_pb2 as pb
from multimood.erasure.exports import erase_from_export, exports_below, rows_in_export
from multimood.erasure.log import conversations_of, erase_rows
from multimood.errors import NotFoundError, UnavailableError
from multimood.experience.exports import Kind, Wishes, export
from multimood.experience.exports.manifest import MANIFEST
from multimood.experience.later import Waiting
from multimood.experience.reader import rows
from multimood.experience.record import Origin
from multimood.experience.schema import FEEDBACK_SCHEMA, SCHEMA
from multimood.experience.sources import Found
from multimood.experience.table import EXPERIENCE_TABLE, DamagedObjectError, encode, merged
from multimood.store.errors import ChangedObjectError

pytestmark = pytest.mark.unit

DAY = "experience/v2/date=2026-09-21"
JANE, JOHN = PSEUDONYMS.person("acme", "jane"), PSEUDONYMS.person("acme", "john")


def row(utterance: str, who: str, conversation: str, tenant: str = "acme", **decided: Any) -> dict[str, Any]:
    said = context(utterance, conversation=conversation, tenant=tenant)
    said.subject = who
    return row_of(decision(said, **decided), reply(said), trust(said), Origin(0, 1, 1_790_000_000_000))


def rating(utterance: str, conversation: str) -> dict[str, Any]:
    given = pb.Feedback(context=context(utterance, conversation=conversation), rating=1.0)
    return feedback_row(given, f"id of {utterance}", Origin(0, 1, 1_790_000_000_000))


@dataclass
class Place(MemorySource):
    """A log in memory whose objects may be written between a read and a replacement."""

    meanwhile: list[Callable[[], None]] = field(default_factory=list)

    def read_version(self, name: str) -> tuple[bytes, str]:
        if name not in self.kept:
            raise NotFoundError(name)
        data = self.kept[name]
        if self.meanwhile:
            self.meanwhile.pop(0)()
        return data, str(hash(data))

    def replace(self, name: str, data: bytes, tag: str) -> None:
        if str(hash(self.kept[name])) != tag:
            raise ChangedObjectError
        self.kept[name] = data

    def objects(self) -> list[Found]:
        return list(super().objects())


def place() -> Place:
    return Place(
        {
            f"{DAY}/reply-0-0.parquet": encode([row("u1", "jane", "c1"), row("u2", "john", "c2")], SCHEMA),
            f"{DAY}/reply-1-0.parquet": encode([row("u3", "john", "c3")], SCHEMA),
            f"{DAY}/rows-00.parquet": encode([row("u4", "", "c1"), row("u1", "jane", "c1", "else")], SCHEMA),
            "feedback/v2/date=2026-09-21/feedback-0-0.parquet": encode(
                [rating("u1", "c1"), rating("u2", "c2")], FEEDBACK_SCHEMA
            ),
        }
    )


def test_their_rows_their_conversations_and_their_feedback_go_and_nothing_else() -> None:
    log = place()
    untouched = log.kept[f"{DAY}/reply-1-0.parquet"]
    conversations, count = conversations_of(log, JANE)
    assert conversations == {PSEUDONYMS.conversation("acme", "c1")}
    assert count == 1
    removed = erase_rows(log, JANE, conversations)
    assert (removed.rows, removed.feedback, len(removed.objects)) == (2, 1, 3)
    left = sorted(rows(log, feedback=True, waiting=Waiting()), key=lambda one: one["tenant"])
    assert [(one["tenant"], one["subject"]) for one in left] == [
        ("acme", JOHN.pseudonym), ("acme", JOHN.pseudonym), ("else", PSEUDONYMS.person("else", "jane").pseudonym),
    ]  # fmt: skip
    assert sum(len(one["feedback"]) for one in left) == 1
    assert log.kept[f"{DAY}/reply-1-0.parquet"] == untouched
    again = erase_rows(log, JANE, conversations)
    assert (again.rows, again.feedback) == (0, 0)


def test_an_object_whose_rows_are_all_gone_stays_as_an_empty_table() -> None:
    log = Place({f"{DAY}/reply-0-0.parquet": encode([row("u1", "jane", "c1")], SCHEMA)})
    erase_rows(log, JANE, ())
    data = log.kept[f"{DAY}/reply-0-0.parquet"]
    assert list(rows(log)) == []
    assert merged(data, [row("u9", "john", "c9")], EXPERIENCE_TABLE) is not None, "and takes rows"


def test_a_row_that_is_added_meanwhile_is_not_lost() -> None:
    log = place()
    name = f"{DAY}/reply-0-0.parquet"

    def somebody_writes() -> None:
        added = merged(log.kept[name], [row("u8", "john", "c8")], EXPERIENCE_TABLE)
        assert added is not None
        log.kept[name] = added

    log.meanwhile = [lambda: None, somebody_writes]  # the feedback is first
    erase_rows(log, JANE, {PSEUDONYMS.conversation("acme", "c1")})
    assert {one["utterance_id"] for one in rows(log) if one["tenant"] == "acme"} == {
        PSEUDONYMS.utterance("acme", name) for name in ("u2", "u3", "u8")
    }


def test_rows_that_a_compaction_moves_meanwhile_are_found_where_they_went() -> None:
    log = place()
    small, large = f"{DAY}/reply-1-0.parquet", f"{DAY}/rows-zz.parquet"
    log.kept[small] = encode([row("u5", "jane", "c5")], SCHEMA)

    def somebody_compacts() -> None:
        log.kept[large] = log.kept.pop(small)

    log.meanwhile = [lambda: None, somebody_compacts]
    removed = erase_rows(log, JANE, ())
    assert large in removed.objects
    assert not any(one["subject"] == JANE.pseudonym for one in rows(log))


def test_a_damaged_object_is_told_and_keeps_no_other_from_being_rewritten() -> None:
    seen: list[tuple[int, int]] = []
    log = place()
    log.kept[f"{DAY}/reply-0-00.parquet"] = b"PAR1 and then nothing"
    conversations, count = conversations_of(log, JANE)
    assert count == 1
    removed = erase_rows(log, JANE, conversations, lambda done, of: seen.append((done, of)))
    assert removed.damaged == [f"{DAY}/reply-0-00.parquet"]
    assert seen == [(number, len(log.kept)) for number in range(1, len(log.kept) + 1)], "progress counts it, too"
    assert (removed.rows, removed.feedback) == (2, 1)


def test_a_writer_who_never_rests_is_told_of() -> None:
    log = place()
    name = f"{DAY}/reply-0-0.parquet"

    def somebody_writes(number: int) -> None:
        log.kept[name] = encode([row("u1", "jane", "c1"), row(f"v{number}", "john", "c2")], SCHEMA)

    log.meanwhile = [partial(somebody_writes, number) for number in range(50)]
    with pytest.raises(UnavailableError, match="erase again"):
        erase_rows(log, JANE, ())


# --- exports ---------------------------------------------------------------------------------------------------------


def exported(kind: Kind, folder: Path) -> Path:
    out = folder / kind
    log = place()
    export(lambda: rows(log, feedback=True, waiting=Waiting()), kind, out, Wishes(content=True))
    return out


@pytest.mark.parametrize("kind", ["hf", "trl-kto"])
def test_lines_are_taken_out_of_an_export_and_the_rest_stays(kind: Kind, tmp_path: Path) -> None:
    out = exported(kind, tmp_path)
    before = pq.read_table(out / "data").to_pylist()
    own = {one["row_id"] for one in (row("u1", "jane", "c1"), row("u4", "", "c1"))}
    conversations = {PSEUDONYMS.conversation("acme", "c1")}
    assert exports_below(tmp_path) == [out]
    assert rows_in_export(out, JANE, conversations) == own
    assert own < {one["row_id"] for one in before}
    assert erase_from_export(out, JANE, conversations).items == 2
    after = pq.read_table(out / "data").to_pylist()
    assert after == [one for one in before if one["row_id"] not in own]
    assert not any(one in (out / MANIFEST).read_text() for one in own)
    assert JANE.pseudonym not in (out / MANIFEST).read_text()
    assert erase_from_export(out, JANE, conversations).items == 0, "done again it finds nothing"


def test_pairs_of_attempts_go_with_their_person(tmp_path: Path) -> None:
    base = {"faults": [], "score": None, "sent": False, "completion_tokens": 1}
    attempted = {
        "reply_attempts": [base | {"index": 0, "faults": ["privacy"]}, base | {"index": 1, "sent": True}],
        "attempt_texts": [{"index": 0, "text": "Tell me where you live."}],
    }
    kept = [row("u1", "jane", "c1") | attempted, row("v1", "john", "c2") | attempted]
    assert export(lambda: iter(kept), "trl-dpo", tmp_path / "out", Wishes()).items == 2
    assert erase_from_export(tmp_path / "out", JANE, ()).items == 1
    (left,) = pq.read_table(tmp_path / "out" / "data").to_pylist()
    assert left["row_id_rejected"] == kept[1]["row_id"]


def test_an_export_that_cannot_be_rewritten_goes_as_a_whole(tmp_path: Path) -> None:
    out = exported("hf", tmp_path)
    text = (out / MANIFEST).read_text()
    (out / MANIFEST).write_text(text.replace('"hf"', '"obp"'))
    assert not erase_from_export(out, PSEUDONYMS.person("acme", "nobody"), ()).deleted
    assert (out / "data").exists()
    assert erase_from_export(out, JANE, ()).deleted
    assert [path.name for path in out.iterdir()] == [MANIFEST]


def test_a_damaged_file_of_an_export_is_told_and_nobody_is_forgotten(tmp_path: Path) -> None:
    out = exported("hf", tmp_path)
    (file,) = (out / "data").glob("*.parquet")
    file.write_bytes(b"PAR1 and no more")
    with pytest.raises(DamagedObjectError):
        erase_from_export(out, JANE, ())
    assert rows_in_export(out, JANE, ()), "the manifest knows them until their lines are gone"


def test_a_folder_that_is_no_export_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no export"):
        exports_below(tmp_path)
    with pytest.raises(NotFoundError, match="no folder"):
        exports_below(tmp_path / "nowhere")
    (tmp_path / MANIFEST).write_text("{}")
    with pytest.raises(NotFoundError, match="export again"):
        rows_in_export(tmp_path, JANE, ())
