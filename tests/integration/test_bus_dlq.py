"""Dead letters on a real broker, through the command line: counted, looked into, brought back once."""

import json
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest
from bus_harness import Writer, header_of, utterance
from bus_log import records_of
from typer.testing import CliRunner, Result

from multimood import topics
from multimood.bus.admin import apply_topics
from multimood.bus.envelope import encode_headers, output
from multimood.bus.letters import REPLAYED, dead_letter_headers, envelope_headers
from multimood.bus.tail import Follower
from multimood.cli import app
from multimood.local.kafka import KafkaServer
from multimood.local.ports import HOST, assign
from multimood.settings import KafkaSettings

pytestmark = pytest.mark.integration

CANARY = "nobody may read this aloud"
TOPIC = topics.FEEDBACK
"""One that no other test leaves dead letters in."""


@pytest.fixture(autouse=True)
def environment(kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch) -> None:
    apply_topics(KafkaSettings(brokers=kafka.brokers))
    monkeypatch.setenv("MULTIMOOD_KAFKA_BROKERS", kafka.brokers)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
async def writer(kafka: KafkaServer) -> AsyncIterator[Writer]:
    async with Writer(kafka.brokers) as open_writer:
        yield open_writer


def dlq(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["dlq", *arguments])


def shown(*arguments: str) -> list[dict[str, Any]]:
    result = dlq("show", *arguments)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def fault(origin: Any, reason: str, **more: str) -> dict[str, str]:
    return {
        "reason": reason, "error": "it was so", "service": "reward", "topic": origin.topic, "attempts": "3",
        "partition": str(origin.partition), "offset": str(origin.offset), "time_us": "1700000000000000", **more,
    }  # fmt: skip


async def die(writer: Writer, run: str, number: int, reason: str) -> tuple[Any, Any, list[tuple[str, bytes]]]:
    """An event and its letter, as a service leaves it; gives both places and the event's headers."""
    said = utterance(run, "c", number, CANARY)
    headers = encode_headers(output(TOPIC, said), "platform")
    origin = await writer.raw(TOPIC, said.SerializeToString(), b"t/c", headers)
    letter = await writer._producer.send_and_wait(
        TOPIC.dead_letters, said.SerializeToString(), key=b"t/c",
        headers=dead_letter_headers(headers, fault(origin, reason)),
    )  # fmt: skip
    return origin, letter, headers


def place(sent: Any) -> str:
    return f"{sent.topic}/{sent.partition}/{sent.offset}"


async def test_a_letter_comes_back_as_it_was_and_only_once(kafka: KafkaServer, writer: Writer) -> None:
    run, reason = secrets.token_hex(4), f"r{secrets.token_hex(3)}"
    origin, letter, headers = await die(writer, run, 1, reason)
    await die(writer, run, 2, "another")

    listed = dlq("ls", "--topic", TOPIC.name).stdout
    assert reason in listed
    assert "another" in listed
    (line,) = shown("--topic", TOPIC.name, "--reason", reason)
    assert line["letter"] == place(letter)
    assert line["origin"] == place(origin)
    assert (line["service"], line["error"], line["attempts"], line["replayed"]) == ("reward", "it was so", 3, False)
    assert line["utterance_id"] == f"{run}-1"
    assert "content" not in line
    assert CANARY not in json.dumps(line)

    before = await records_of(kafka.brokers, [TOPIC.name])
    result = dlq("replay", "--all", "--topic", TOPIC.name, "--reason", reason)
    assert (result.exit_code, "1 replayed" in result.stdout) == (0, True), result.output
    assert CANARY not in result.output
    back = [record for record in await records_of(kafka.brokers, [TOPIC.name]) if record not in before]
    (back,) = [record for record in back if header_of(record, REPLAYED)]
    (original,) = [r for r in before if (r.partition, r.offset) == (origin.partition, origin.offset)]
    assert (back.value, back.key, back.partition) == (original.value, original.key, original.partition)
    assert list(back.headers) == [*headers, (REPLAYED, place(letter).encode())]

    for arguments in (("--all", "--reason", reason), (place(letter),)):
        result = dlq("replay", "--topic", TOPIC.name, *arguments)
        assert result.exit_code == 0
        assert "0 replayed, 1 were before" in result.stdout
    assert shown("--topic", TOPIC.name, "--reason", reason)[0]["replayed"] is True
    assert "1 replayed" in dlq("replay", place(letter), "--again").stdout


async def test_a_dropped_letter_is_listed_and_replayed_no_more(kafka: KafkaServer, writer: Writer) -> None:
    run, reason = secrets.token_hex(4), f"r{secrets.token_hex(3)}"
    letters = [place((await die(writer, run, number, reason))[1]) for number in range(3)]
    arguments = ("--topic", TOPIC.name, "--reason", reason)

    result = dlq("drop", letters[0], letters[1], "--yes", *arguments)
    assert (result.exit_code, "2 dropped" in result.stdout) == (0, True), result.output
    assert CANARY not in result.output
    assert [line["letter"] for line in shown(*arguments)] == [letters[2]]
    result = dlq("replay", "--all", *arguments)
    assert "1 replayed" in result.stdout
    back = [r for r in await records_of(kafka.brokers, [TOPIC.name]) if header_of(r, REPLAYED) in letters]
    assert [header_of(record, REPLAYED) for record in back] == [letters[2]]
    assert "1 dropped" in dlq("drop", "--all", "--yes", *arguments).stdout
    assert reason not in dlq("ls", "--topic", TOPIC.name).stdout


async def test_content_is_printed_when_asked_for(writer: Writer) -> None:
    run = secrets.token_hex(4)
    said = utterance(run, "c", 1, CANARY)
    origin = await writer.say(topics.UTTERANCE, said)
    headers = dead_letter_headers(encode_headers(output(topics.UTTERANCE, said), "p"), fault(origin[0], run))
    for value in (said.SerializeToString(), b"\xff\xfe"):
        await writer._producer.send_and_wait(topics.UTTERANCE.dead_letters, value, partition=0, headers=headers)
    first, second = shown("--reason", run, "--content")
    assert first["content"]["text"] == CANARY
    assert second["content"] == {"hex": "fffe"}


async def test_a_note_brings_back_the_original_while_it_is_kept(kafka: KafkaServer, writer: Writer) -> None:
    run = secrets.token_hex(4)
    origin = await writer.raw(TOPIC, b"too large to be a letter", b"t/c", [("ce_id", b"large")])
    headers = envelope_headers([("ce_id", b"large")], fault(origin, run), b"too large to be a letter")
    await writer._producer.send_and_wait(TOPIC.dead_letters, b"", headers=headers)
    gone = fault(origin, f"{run}-gone", offset="999999")
    await writer._producer.send_and_wait(TOPIC.dead_letters, b"", headers=envelope_headers([], gone, b"x"))

    assert "1 replayed" in dlq("replay", "--all", "--topic", TOPIC.name, "--reason", run).stdout
    (back,) = [r for r in await records_of(kafka.brokers, [TOPIC.name])
               if header_of(r, "ce_id") == "large" and header_of(r, REPLAYED)]  # fmt: skip
    assert (back.value, back.key, back.partition) == (b"too large to be a letter", b"t/c", origin.partition)
    result = dlq("replay", "--all", "--topic", TOPIC.name, "--reason", f"{run}-gone")
    assert result.exit_code == 1
    assert "not kept any more" in result.output


async def test_a_letter_that_names_another_topic_is_not_put_there(kafka: KafkaServer, writer: Writer) -> None:
    reason = secrets.token_hex(4)
    origin = await writer.raw(TOPIC, b"x", b"t/c")
    forged = dead_letter_headers([], fault(origin, reason, topic=topics.REPLY.name))
    await writer._producer.send_and_wait(TOPIC.dead_letters, b"x", headers=forged)
    before = len(await records_of(kafka.brokers, [topics.REPLY.name]))
    result = dlq("replay", "--all", "--topic", TOPIC.name, "--reason", reason)
    assert result.exit_code == 1
    assert "not replayed" in result.output
    assert len(await records_of(kafka.brokers, [topics.REPLY.name])) == before


async def test_a_follower_takes_no_receipt_for_a_letter(kafka: KafkaServer, writer: Writer) -> None:
    run = secrets.token_hex(4)
    _, letter, _ = await die(writer, run, 1, run)
    assert dlq("replay", place(letter)).exit_code == 0
    follower = Follower(KafkaSettings(brokers=kafka.brokers), [TOPIC], dead_letters=True)
    await follower.start()
    try:
        letters = []
        async for received in follower:
            if received.dead_letter and received.reason == run:
                letters.append(received.event_id)
            elif received.dead_letter:
                assert received.stage == "reward", "a receipt was taken for a letter"
            if letters:
                break
        assert len(letters) == 1
    finally:
        await follower.stop()


async def test_mistakes_are_told(writer: Writer) -> None:
    result = dlq("replay")
    assert (result.exit_code, "--all" in result.output) == (2, True)
    result = dlq("replay", "nothing/0/0")
    assert (result.exit_code, "there is no such letter: nothing/0/0" in result.output) == (1, True)
    result = dlq("ls", "--topic", "unknown")
    assert (result.exit_code, "multimood topics ls" in result.output) == (1, True)


@pytest.mark.parametrize("command", [("replay", "--all"), ("drop", "--all", "--yes")])
def test_without_a_broker_it_says_so(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = f"{HOST}:{assign(['nobody'])['nobody']}"
    monkeypatch.setenv("MULTIMOOD_KAFKA_BROKERS", nobody)
    result = dlq(*command)
    assert result.exit_code == 1
    assert nobody in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
