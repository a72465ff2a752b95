"""`multimood check` against a real broker and a real store."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from bus_fakes import CANARY, context
from bus_harness import Writer
from typer.testing import CliRunner, Result

from multimood import topics
from multimood.bus.admin import apply_topics
from multimood.bus.envelope import encode_headers, output, utterance_name
from multimood.bus.letters import dead_letter_headers
from multimood.cli import app
from multimood.contracts.v1 import events_pb2 as pb
from multimood.experience import SCHEMA, Pseudonyms
from multimood.experience.table import encode
from multimood.local.kafka import KafkaServer
from multimood.local.store import ObjectStore
from multimood.settings import KafkaSettings, PseudonymSettings, StoreSettings
from multimood.store import Store
from multimood.topics import Topic

pytestmark = pytest.mark.integration

TENANT = secrets.token_hex(4)
"""The log may hold other tests' rows."""


@pytest.fixture(autouse=True)
def environment(kafka: KafkaServer, store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    apply_topics(KafkaSettings(brokers=kafka.brokers))
    for name, value in {
        "KAFKA_BROKERS": kafka.brokers,
        "S3_ENDPOINT": store.endpoint,
        "S3_SECURE": "false",
        "S3_ACCESS_KEY": store.credentials.access_key,
        "S3_SECRET_KEY": store.credentials.secret_key,
        "S3_EXPERIENCE_BUCKET": "experience",
    }.items():
        monkeypatch.setenv(f"MULTIMOOD_{name}", value)


@pytest.fixture
async def writer(kafka: KafkaServer) -> AsyncIterator[Writer]:
    async with Writer(kafka.brokers) as open_writer:
        yield open_writer


def check(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["check", "--grace", "0", *arguments])


def who(number: int) -> pb.Context:
    mine = context(f"c{number}", f"u{number}", TENANT)
    mine.privacy.learning_consent = True
    return mine


async def send(writer: Writer, topic: Topic, message: Any) -> Any:
    return await (await writer.begin(topic, message))


async def converse(writer: Writer, number: int) -> None:
    """All records of an utterance as the services leave them."""
    mine = who(number)
    await send(writer, topics.UTTERANCE, pb.Utterance(context=mine, manifest=[pb.MODALITY_TEXT], text=CANARY))
    await send(writer, topics.SCREENING, pb.Screening(context=mine, level=pb.RISK_LEVEL_NONE))
    await send(writer, topics.DECISION, pb.Decision(context=mine, manifest=[pb.MODALITY_TEXT]))
    await send(writer, topics.REPLY, pb.Reply(context=mine, text=CANARY, source=pb.REPLY_SOURCE_GENERATED))
    await send(writer, topics.TRUST, pb.TrustScore(context=mine))


async def log(numbers: range) -> None:
    store = Store(StoreSettings())
    pseudonyms = Pseudonyms.of(PseudonymSettings(), StoreSettings())
    rows = [{"row_id": pseudonyms.row(utterance_name(who(one))), **pseudonyms.context(who(one))} for one in numbers]
    key = f"experience/v2/date=2026-01-02/{TENANT}.parquet"
    await store.put("experience", key, encode(rows, SCHEMA), "application/octet-stream")
    await store.close()


async def test_every_fate_is_told_from_what_lies_there(writer: Writer, tmp_path: Path) -> None:
    for number in range(30):
        await converse(writer, number)
    await log(range(30))
    sound = await asyncio.to_thread(check, "--json")
    assert sound.exit_code == 0, sound.output
    found = json.loads(sound.stdout)
    assert (found["accepted"], found["replied"], found["partial"]) == (30, 30, 0), found

    lost, given_up = who(30), who(31)
    await send(writer, topics.UTTERANCE, pb.Utterance(context=lost, text=CANARY))
    origin = await send(writer, topics.UTTERANCE, pb.Utterance(context=given_up, text=CANARY))
    dead = output(topics.UTTERANCE, pb.Utterance(context=given_up, text=CANARY))
    await writer._producer.send_and_wait(
        topics.UTTERANCE.dead_letters, dead.message.SerializeToString(), key=dead.key,
        headers=dead_letter_headers(
            encode_headers(dead, "test"),
            {"service": "joiner", "topic": topics.UTTERANCE.name, "partition": str(origin.partition),
             "offset": str(origin.offset), "reason": "invalid_event"},
        ),
    )  # fmt: skip
    await send(writer, topics.REPLY, pb.Reply(context=who(3), text=CANARY))
    confirmed = tmp_path / "accepted.txt"
    confirmed.write_text("u1\nu2\nnever-came\n")

    unsound = await asyncio.to_thread(check, "--json", "--accepted", str(confirmed))
    assert unsound.exit_code == 1
    found = json.loads(unsound.stdout)
    assert (found["accepted"], found["replied"], found["rejected"]) == (33, 30, 1), found
    assert [one["utterance"] for one in found["offenders"]["lost"]] == [f"{TENANT}/c30/u30", "never-came"]
    assert found["offenders"]["duplicated"] == [{"utterance": f"{TENANT}/c3/u3", "why": ["2 replies"]}]
    table = await asyncio.to_thread(check)
    assert table.exit_code == 1
    assert f"{TENANT}/c30/u30: no outcome" in table.output
    assert CANARY not in table.output + unsound.output


def test_no_broker_is_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULTIMOOD_KAFKA_BROKERS", "127.0.0.1:1")
    result = check()
    assert result.exit_code == 2
    assert "127.0.0.1:1" in result.output
