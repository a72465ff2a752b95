"""On a broker that forbids what no ACL allows: who is let in, who is refused and says why, and that nothing is lost."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError
from bus_fakes import context
from pydantic import SecretStr
from secure_kafka import Authority, SecureKafka
from service_process import Process, environment_of
from typer.testing import CliRunner, Result

from multimood import topics
from multimood.access import ACCESS, Acl, acls_of
from multimood.bus import Publisher
from multimood.bus.connection import aiokafka_options
from multimood.bus.probe import refusal
from multimood.bus.purge import BrokerPurge
from multimood.bus.tail import PartitionTail
from multimood.cli import app
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import AuthenticationError, HandshakeError, RefusedError, UnavailableError
from multimood.local.server import wait_ready
from multimood.settings import KafkaSettings
from multimood.topics import Topic

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

PASSWORD = "known-to-two"
OPERATOR = "multimood-operator"
CRISIS = "I want to kill myself tonight"
PARTITIONS = 2


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    """One with the topics, made by who may make topics, and the users of every service as the command makes them."""
    server = SecureKafka.in_folder(tmp_path_factory.mktemp("secured"))
    server.start()
    try:
        wait_ready(server, server.log, 240)
        names = [f"multimood-{name.replace('_', '-')}" for name in (*ACCESS, "topics", "operator")]
        server.add_users(dict.fromkeys(names, PASSWORD))
        assert command(server.admin, "topics", "acls", "--apply").exit_code == 0
        made = command(server.user("multimood-topics", PASSWORD, partitions=PARTITIONS), "topics", "apply")
        assert made.exit_code == 0, made.output
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("other"), "other-authority")


def command(kafka: KafkaSettings, *argv: str) -> Result:
    return CliRunner().invoke(app, list(argv), env={"COLUMNS": "200", **environment_of(kafka)})


def as_service(broker: SecureKafka, service: str, **more: Any) -> KafkaSettings:
    return broker.user(f"multimood-{service.replace('_', '-')}", PASSWORD, **more)


def own_group(broker: SecureKafka, principal: str, service: str) -> str:
    """A group prefix of one test's own, which the service may join as usual."""
    prefix = f"t{secrets.token_hex(4)}"
    broker.allow(principal, [acl for acl in acls_of(service, prefix) if acl.kind == "group"])
    return prefix


async def say(broker: SecureKafka, text: str) -> str:
    """Publish what somebody said, as the gateway may; gives the utterance's id."""
    name = f"u{secrets.token_hex(4)}"
    publisher = Publisher(as_service(broker, "gateway"), "gateway")
    await publisher.start()
    try:
        said = pb.Utterance(context=context("secured", name), text=text, manifest=[pb.MODALITY_TEXT])
        await publisher.publish(topics.UTTERANCE, said)
    finally:
        await publisher.stop()
    return name


async def found(broker: SecureKafka, topic: Topic, utterance: str) -> list[Any]:
    """The records of an utterance, as the super user sees them."""
    reader = AIOKafkaConsumer(**aiokafka_options(broker.admin), auto_offset_reset="earliest", enable_auto_commit=False)
    await reader.start()
    try:
        tps = [TopicPartition(topic.name, partition) for partition in range(PARTITIONS)]
        reader.assign(tps)
        await reader.seek_to_beginning(*tps)
        ends = await reader.end_offsets(tps)
        records: list[Any] = []
        while any([await reader.position(tp) < ends[tp] for tp in tps]):
            for some in (await reader.getmany(timeout_ms=200)).values():
                records += [record for record in some if dict(record.headers).get("ce_subject") == utterance.encode()]
        return records
    finally:
        await reader.stop()


async def one(broker: SecureKafka, topic: Topic, utterance: str, within_s: float = 40) -> Any:
    async with asyncio.timeout(within_s):
        while not (records := await found(broker, topic, utterance)):  # noqa: ASYNC110
            await asyncio.sleep(0.3)
    (record,) = records
    return record


async def checks(service: Process) -> dict[str, bool]:
    async with ClientSession() as session:
        answer = await session.get(f"{service.health}/readyz")
        return dict((await answer.json())["checks"])


async def refused(service: Process, within_s: float = 40) -> None:
    async with asyncio.timeout(within_s):
        while (await checks(service))["authorised"]:  # noqa: ASYNC110
            await asyncio.sleep(0.2)


def lines(service: Process, **wanted: str) -> list[dict[str, Any]]:
    """Of its log, those that say this."""
    all_lines = [json.loads(line) for line in service.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in all_lines if all(line.get(key) == value for key, value in wanted.items())]


@asynccontextmanager
async def begun(service: Process) -> AsyncIterator[Process]:
    """Started, whether it becomes ready or not."""
    service.start()
    try:
        yield service
    finally:
        await service.drained()


# --- who is refused, and is told why ----------------------------------------------------------------------------------


@pytest.fixture
def wrong(broker: SecureKafka, authority: Authority) -> dict[str, tuple[KafkaSettings, type[RefusedError], str]]:
    """Settings that the broker, or we, cannot accept, with what is said of them."""
    good, holder = as_service(broker, "sentinel"), broker.holder("multimood-sentinel")
    foreign, expired = authority.issue("foreign"), broker.authority.issue("expired", days=-1)

    def but(settings: KafkaSettings, **changes: Any) -> KafkaSettings:
        return settings.model_copy(update=changes)

    return {
        "password": (but(good, sasl_password=SecretStr("wrong")), AuthenticationError, "multimood-sentinel"),
        "user": (but(good, sasl_username="nobody"), AuthenticationError, "MULTIMOOD_KAFKA_SASL_USERNAME"),
        "mechanism": (but(good, sasl_mechanism="PLAIN"), AuthenticationError, "does not offer PLAIN"),
        "authority": (but(good, ssl_ca=authority.file), HandshakeError, "MULTIMOOD_KAFKA_SSL_CA"),
        "hostname": (but(good, brokers=f"localhost:{broker.port}"), HandshakeError, "localhost"),
        "plaintext": (KafkaSettings(brokers=broker.brokers), HandshakeError, "it speaks TLS"),
        "tls only": (but(holder, brokers=broker.brokers), HandshakeError, "MULTIMOOD_KAFKA_SECURITY_PROTOCOL=SSL"),
        "no certificate": (but(holder, ssl_cert=None, ssl_key=None), HandshakeError, "none is set"),
        "foreign certificate": (
            but(holder, ssl_cert=foreign[0], ssl_key=foreign[1]), HandshakeError, "refuses our certificate",
        ),
        "expired certificate": (
            but(holder, ssl_cert=expired[0], ssl_key=expired[1]), HandshakeError, "refuses our certificate",
        ),
    }  # fmt: skip


async def test_every_way_to_be_wrong_is_told_within_seconds(
    broker: SecureKafka, wrong: dict[str, tuple[KafkaSettings, type[RefusedError], str]]
) -> None:
    assert await refusal(as_service(broker, "sentinel")) is None
    assert await refusal(broker.holder("multimood-sentinel")) is None
    for name, (settings, kind, text) in wrong.items():
        began = time.monotonic()
        error = await refusal(settings)
        assert type(error) is kind, f"{name}: {error!r}"
        assert text in str(error), f"{name}: {error}"
        assert PASSWORD not in str(error)
        assert time.monotonic() - began < 10, name


@pytest.mark.parametrize("case", ["password", "authority", "plaintext"])
def test_a_command_says_so_and_ends(wrong: dict[str, tuple[KafkaSettings, type[RefusedError], str]], case: str) -> None:
    settings, _, text = wrong[case]
    for argv in (["topics", "apply"], ["dlq", "ls"], ["escalations"]):
        began = time.monotonic()
        result = command(settings, *argv)
        assert result.exit_code == 1, result.output
        assert text in result.output.replace("\n", " ")
        assert time.monotonic() - began < 20


@pytest.mark.parametrize("case", ["password", "authority", "plaintext"])
async def test_a_service_says_so_and_waits(
    wrong: dict[str, tuple[KafkaSettings, type[RefusedError], str]], case: str, tmp_path: Path
) -> None:
    settings, kind, text = wrong[case]
    async with begun(Process("sentinel", settings, tmp_path, "multimood")) as service:
        async with asyncio.timeout(30):
            while not lines(service, code=kind.code):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        assert not service.is_ready()
        (line, *_) = lines(service, code=kind.code)
        assert (line["level"], line["message"]) == ("error", "waiting for the broker")
        assert text in line["reason"]
        assert service.exit_code() is None, "what is wrong may be put right on the broker"
    assert PASSWORD not in service.log.read_text()


async def test_a_service_with_anothers_credentials_is_refused(broker: SecureKafka, tmp_path: Path) -> None:
    async with begun(Process("sentinel", as_service(broker, "joiner"), tmp_path, "multimood")) as service:
        async with asyncio.timeout(30):
            while not lines(service, code="authorization"):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        (line, *_) = lines(service, code="authorization")
        assert "user multimood-joiner is not authorised for topic" in line["reason"]
        assert topics.ESCALATION.name in line["reason"]
        assert (await checks(service))["authorised"] is False


def test_a_command_may_do_no_more_than_its_user(broker: SecureKafka) -> None:
    joiner = as_service(broker, "joiner")
    made = command(joiner.model_copy(update={"partitions": PARTITIONS}), "topics", "acls", "--apply")
    assert (made.exit_code, "may not set ACLs" in made.output) == (1, True), made.output
    seen = command(joiner, "escalations")
    assert (seen.exit_code, "not authorised for topic" in seen.output) == (1, True), seen.output


# --- who is let in ----------------------------------------------------------------------------------------------------


async def test_an_operator_may_use_every_command(broker: SecureKafka) -> None:
    operator = broker.user(OPERATOR, PASSWORD, partitions=PARTITIONS)
    await say(broker, "hello")
    for argv in (["topics", "apply"], ["dlq", "ls"], ["escalations"]):
        result = await asyncio.to_thread(command, operator, *argv)
        assert result.exit_code == 0, result.output

    def purge() -> None:
        with BrokerPurge(operator) as broker_purge:
            traces = broker_purge.find(lambda theirs: theirs.tenant == "t")
            assert traces.records
            ends = broker_purge.ends(sorted(traces.partitions))
            broker_purge.unread(ends, 0)
            broker_purge.roll([(topics.FEEDBACK.name, 0)])
            assert broker_purge.settings.ours
            broker_purge.purge({place: end for place, end in ends.items() if place.topic == topics.FEEDBACK.name})

    await asyncio.to_thread(purge)


async def test_certificates_do_as_well(broker: SecureKafka, tmp_path: Path) -> None:
    for name in ("sentinel", "operator"):
        broker.allow(f"User:CN=multimood-{name}", acls_of(name))
    prefix = own_group(broker, "User:CN=multimood-sentinel", "sentinel")
    async with Process("sentinel", broker.holder("multimood-sentinel", client_rack="here"), tmp_path, prefix):
        utterance = await say(broker, CRISIS)
        await one(broker, topics.ESCALATION, utterance)
        await one(broker, topics.REPLY, utterance)
        listed = await asyncio.to_thread(command, broker.holder("multimood-operator"), "escalations", "--json")
        assert utterance in listed.output


async def test_a_password_in_a_file_is_taken_from_there(broker: SecureKafka, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    kafka = as_service(broker, "sentinel").model_copy(
        update={"sasl_password": SecretStr(""), "sasl_password_file": file}
    )
    assert await refusal(kafka) is None
    file.write_text("another")
    assert isinstance(await refusal(kafka), AuthenticationError)


# --- what is taken away and given back --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "doing"),
    [
        (Acl("topic", topics.REPLY.name, ("Write",)), "writing"),
        (Acl("topic", topics.UTTERANCE.name, ("Read",)), "reading"),
    ],
)
async def test_a_right_that_comes_back_finds_the_service_at_work_and_nothing_lost(
    broker: SecureKafka, tmp_path: Path, right: Acl, doing: str
) -> None:
    principal = "User:multimood-sentinel"
    prefix = own_group(broker, principal, "sentinel")
    async with Process("sentinel", as_service(broker, "sentinel"), tmp_path, prefix) as service:
        await one(broker, topics.SCREENING, await say(broker, "good morning"))
        broker.forbid(principal, [right])
        try:
            if doing == "reading":  # what was asked for before is answered still
                await refused(service)
            utterance = await say(broker, CRISIS)
            await refused(service)
            assert not await found(broker, topics.REPLY, utterance)
            (line, *_) = lines(service, code="authorization")
            assert line["level"] == "error"
            assert f"topic {right.name} ({doing})" in line["reason"]
            assert service.exit_code() is None
        finally:
            broker.allow(principal, [right])
        await one(broker, topics.REPLY, utterance)
        await one(broker, topics.SCREENING, utterance)
        await service.ready()
        assert service.exit_code() is None


async def test_out_of_its_group_it_ends_and_begun_again_waits_until_it_may(broker: SecureKafka, tmp_path: Path) -> None:
    principal = "User:multimood-sentinel"
    prefix = own_group(broker, principal, "sentinel")
    group = [acl for acl in acls_of("sentinel", prefix) if acl.kind == "group"]
    async with Process("sentinel", as_service(broker, "sentinel"), tmp_path, prefix) as service:
        await one(broker, topics.SCREENING, await say(broker, "good morning"))
        broker.forbid(principal, group)
        utterance = await say(broker, CRISIS)
        async with asyncio.timeout(40):
            while service.exit_code() is None:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        assert service.exit_code() == 1
        (line,) = lines(service, level="critical")
        assert line["code"] == "authorization"
        assert f"group {prefix}.sentinel" in line["reason"]
        service.start()
        await asyncio.sleep(3)
        assert service.exit_code() is None
        assert not service.is_ready()
        broker.allow(principal, group)
        await service.ready()
        await one(broker, topics.ESCALATION, utterance)


async def test_whoever_publishes_is_told_and_publishes_again_when_it_may(broker: SecureKafka) -> None:
    right = Acl("topic", topics.FEEDBACK.name, ("Describe", "Write"))
    broker.forbid("User:multimood-gateway", [right])
    publisher = Publisher(as_service(broker, "gateway"), "gateway", timeout_s=3)
    await publisher.start()
    feedback = pb.Feedback(context=context("secured", "rated"))
    try:
        with pytest.raises(UnavailableError):
            await publisher.publish(topics.FEEDBACK, feedback)
        assert publisher.refused
        broker.allow("User:multimood-gateway", [right])
        async with asyncio.timeout(30):
            while publisher.refused:
                try:
                    await publisher.publish(topics.FEEDBACK, feedback)
                except UnavailableError:
                    continue
        assert not publisher.refused
    finally:
        broker.allow("User:multimood-gateway", [right])
        await publisher.stop()


async def test_publishing_as_somebody_unknown_is_refused_at_the_start(broker: SecureKafka) -> None:
    kafka = as_service(broker, "gateway").model_copy(update={"sasl_password": SecretStr("wrong")})
    with pytest.raises(AuthenticationError):
        await Publisher(kafka, "gateway").start()


async def test_what_may_not_be_known_of_is_not_taken_for_missing(broker: SecureKafka) -> None:
    tail = PartitionTail(as_service(broker, "video_encoder"))
    await tail.start()
    try:
        assert await tail.partitions([topics.UTTERANCE]) == {topics.UTTERANCE.name: PARTITIONS}
        with pytest.raises(TopicAuthorizationFailedError, match=topics.TRUST.name):
            await tail.partitions([topics.UTTERANCE, topics.TRUST])
        with pytest.raises(GroupAuthorizationFailedError, match=r"multimood\.joiner"):
            await tail.may_join("multimood.joiner")
    finally:
        await tail.stop()
