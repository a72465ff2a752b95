"""The whole system on a broker that forbids all that `multimood.access` does not say: one user a service."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from llm_process import kind
from llm_server import llm_server
from own_system import OwnSystem
from real_clips import Clips
from secure_kafka import SecureKafka
from service_process import environment_of
from typer.testing import CliRunner

from multimood import topics
from multimood.access import ACCESS, acls_of
from multimood.audit.reading import audit
from multimood.bus.connection import aiokafka_options
from multimood.cli import app
from multimood.cli.account import TurnAccount
from multimood.cli.talk import hold_turn
from multimood.client import TurnInput
from multimood.local.server import wait_ready
from multimood.local.services import SERVICES
from multimood.local.store import ObjectStore
from multimood.local.triton import TritonServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PASSWORD = "of-one-test"
DENIED = re.compile(r"Principal = User:(\S+) is Denied operation = (\S+) .*?resource = (\S+)", re.IGNORECASE)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    server = SecureKafka.in_folder(tmp_path_factory.mktemp("secured"))
    server.start()
    try:
        wait_ready(server, server.log, 240)
        yield server
    finally:
        server.stop()


@pytest.fixture
async def system(
    broker: SecureKafka, store: ObjectStore, triton: TritonServer, tmp_path: Path
) -> AsyncIterator[OwnSystem]:
    async with llm_server(kind) as llm:
        own = OwnSystem(tmp_path, broker.admin, store, triton, llm.url)
        users = {name: f"multimood-{name.replace('_', '-')}" for name in (*ACCESS, "operator")}
        await asyncio.to_thread(broker.add_users, dict.fromkeys(users.values(), PASSWORD))
        for name, user in users.items():
            await asyncio.to_thread(broker.allow, f"User:{user}", acls_of(name, own.group))
            own.access[name] = broker.user(user, PASSWORD, group_prefix=own.group)
        try:
            names = [own.start(service.name) for service in SERVICES]
            await own.ready(names, within_s=180)
            yield own
        finally:
            own.stop()


async def test_a_conversation_is_held_with_the_rights_that_are_declared_and_none_is_missed(
    system: OwnSystem, broker: SecureKafka, clips: Clips
) -> None:
    conversation = f"secured-{secrets.token_hex(4)}"

    def turn(text: str = "", **media: bytes) -> TurnInput:
        return TurnInput(conversation, text=text, learning_consent=True, **media)  # type: ignore[arg-type]

    async with system.client("gateway-0") as client:
        whole = await hold_turn(client, turn(clips.words, audio=clips.audio, video=clips.video), None)
        heard = await hold_turn(client, turn(audio=clips.audio), None)
        await client.send_feedback(conversation, whole.utterance_id, rating=1.0)
        crisis = await hold_turn(client, turn("I want to kill myself tonight."), None)
        assert crisis.escalation is not None
        taken = crisis.escalation.escalation_id
        await client.acknowledge(conversation, crisis.utterance_id, taken, by="a counsellor")
    assert [_is_whole(account) for account in (whole, heard, crisis)] == [True, True, True]
    assert set(whole.modalities()) == {"text", "audio", "video"}

    # A record that nobody can read ends in the dead letters, which each service writes with its own right.
    producer = AIOKafkaProducer(**aiokafka_options(broker.admin))
    await producer.start()
    await producer.send_and_wait(topics.UTTERANCE.name, b"\xff\xff", b"t/c")
    await producer.stop()
    operator = system.access["operator"]
    async with asyncio.timeout(60):
        while "utterance" not in (listed := await asyncio.to_thread(_letters, environment_of(operator))):  # noqa: ASYNC110
            await asyncio.sleep(0.5)
    assert "multimood.utterance.v1" in listed

    summary = await audit(operator, system.s3, grace_s=0)
    assert summary.is_sound, summary.as_json()
    denials = {found.groups() for found in DENIED.finditer(broker.log.read_text())}
    assert denials == set(), "a right is missing that something tried to use"


def _is_whole(account: TurnAccount) -> bool:
    return all(part is not None for part in (account.decision, account.reply, account.trust))


def _letters(env: dict[str, str]) -> str:
    result = CliRunner().invoke(app, ["dlq", "ls"], env={"COLUMNS": "200", **env})
    assert result.exit_code == 0, result.output
    return result.output
