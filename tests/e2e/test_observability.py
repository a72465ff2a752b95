"""One trace per utterance over all services, timings as metrics, and not a word of what was said in any of them."""

import asyncio
import json
import secrets
import time
import urllib.request
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from bus_log import records_of
from prometheus_client.parser import text_string_to_metric_families
from promql import asked, expressions
from real_clips import Clips

from multimood import topics
from multimood.cli.talk import hold_turn
from multimood.client import Client, TurnInput
from multimood.contracts.v1 import events_pb2 as pb
from multimood.local.services import SERVICES
from multimood.local.stack import Stack
from multimood.topics import key_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

CANARY = "heliotrope zanzibar quokka"
"""Three words that nothing in the system would say by itself."""


def spans_of(folder: Path) -> list[dict]:
    return [json.loads(line) for file in folder.glob("*.spans*.jsonl") for line in file.read_text().splitlines()]


def metrics_of(stack: Stack) -> str:
    ports = stack.endpoints.ports
    pages = []
    for service in SERVICES:
        with urllib.request.urlopen(f"http://127.0.0.1:{ports[service.health_port]}/metrics", timeout=5) as page:
            pages.append(page.read().decode())
    return "\n".join(pages)


async def hold(stack: Stack, said: TurnInput) -> None:
    async with Client(stack.gateway, stack.api_key) as client:
        account = await hold_turn(client, said, None)
    assert account.reply is not None


async def test_one_trace_leads_through_every_service(stack: Stack, clips: Clips) -> None:
    said = TurnInput(f"trace-{secrets.token_hex(4)}", text=clips.words, audio=clips.audio, video=clips.video)
    await hold(stack, said)
    expected = {service.name for service in SERVICES}
    deadline = time.monotonic() + 20
    while True:
        mine = [
            span
            for span in spans_of(stack.endpoints.data.telemetry)
            if span["attributes"].get("multimood.utterance_id") == said.utterance_id
        ]
        services = {span["resource"]["attributes"]["service.name"] for span in mine}
        if services >= expected:
            break
        assert time.monotonic() < deadline, f"no spans of {sorted(expected - services)}"
        await asyncio.sleep(0.5)
    assert len({span["context"]["trace_id"] for span in mine}) == 1
    (join,) = [span for span in mine if span["resource"]["attributes"]["service.name"] == "joiner"]
    linked = {link["context"]["span_id"] for link in join["links"]}
    encoders = {
        span["context"]["span_id"]
        for span in mine
        if span["resource"]["attributes"]["service.name"] in {"text_encoder", "audio_encoder", "video_encoder"}
    }
    assert encoders <= linked


async def test_every_service_measures_its_hop(stack: Stack, clips: Clips) -> None:
    said = TurnInput(f"hop-{secrets.token_hex(4)}", text=clips.words, audio=clips.audio, video=clips.video)
    await hold(stack, said)
    page = metrics_of(stack)
    for service in SERVICES:
        assert "multimood_hop_duration_milliseconds_count{" in page
        assert f'service="{service.name}"' in page, service.name


async def test_nothing_that_was_said_is_in_logs_spans_metrics_or_headers(stack: Stack, clips: Clips) -> None:
    conversation = f"canary-{secrets.token_hex(4)}"
    broken = clips.video[:2_000] + bytes(len(clips.video) - 2_000)
    await hold(stack, TurnInput(conversation, text=f"My {CANARY} makes me sad.", video=broken, learning_consent=True))
    await hold(stack, TurnInput(conversation, text=f"I want to kill myself over the {CANARY}.", learning_consent=True))

    # Events that nobody can process, with the canary inside: their dead letters hold the bytes, the headers do not.
    producer = AIOKafkaProducer(bootstrap_servers=stack.kafka_brokers)
    await producer.start()
    context = pb.Context(tenant="default", conversation_id=conversation, utterance_id="u")
    try:
        for value in (CANARY.encode() * 3, pb.Utterance(text=CANARY).SerializeToString()):
            await producer.send_and_wait(topics.UTTERANCE.name, value, key=key_of(context))
            await producer.send_and_wait(topics.FEATURES.name, value, key=key_of(context))
    finally:
        await producer.stop()
    letters: list = []
    deadline = time.monotonic() + 30
    names = [topics.UTTERANCE.dead_letters, topics.FEATURES.dead_letters]
    while len(letters) < 4:
        assert time.monotonic() < deadline, f"{len(letters)} of 4 dead letters"
        await asyncio.sleep(0.5)
        letters = [record for record in await records_of(stack.kafka_brokers, names) if CANARY.encode() in record.value]
    await asyncio.sleep(2)  # spans are written once a second

    everything = [topic.name for topic in topics.TOPICS] + [topic.dead_letters for topic in topics.TOPICS]
    words = [CANARY.encode(), *(word.encode() for word in CANARY.split())]
    for record in await records_of(stack.kafka_brokers, everything):
        for name, value in record.headers:
            assert not any(word in value for word in words), f"header {name} of {record.topic}"
        assert not any(word in (record.key or b"") for word in words)
    data = stack.endpoints.data
    files = [file for folder in (data.logs, data.telemetry, data.run) for file in folder.rglob("*") if file.is_file()]
    assert len(files) > len(SERVICES)
    for file in files:
        content = file.read_bytes()
        assert not any(word in content for word in words), file
    page = metrics_of(stack).encode()
    assert page
    assert not any(word in page for word in words)


async def test_alerts_and_dashboards_ask_for_labels_that_the_services_give(stack: Stack, clips: Clips) -> None:
    said = TurnInput(f"labels-{secrets.token_hex(4)}", text=clips.words, audio=clips.audio, video=clips.video)
    await hold(stack, said)
    await hold(stack, TurnInput(f"labels-{secrets.token_hex(4)}", text="I am going to kill myself tonight."))
    given: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics_of(stack)):
        for sample in family.samples:
            given.setdefault(sample.name, set()).update(sample.labels)
    wanted = {one for _, expression in expressions() for one in asked(expression)}
    seen = {(name, labels) for name, labels in wanted if name in given}
    assert {name for name, labels in seen if not labels <= given[name]} == set()
    for name in ("replies_total", "decisions_total", "joined_modalities_total", "trust_score_sum", "screenings_total"):
        assert f"multimood_{name}" in given
    assert len(seen) > 25
