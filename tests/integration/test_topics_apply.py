"""`multimood topics apply` against a real broker, and against none."""

import secrets
import time
from collections.abc import Iterator

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from typer.testing import CliRunner, Result

from multimood.bus.admin import apply_topics, wanted
from multimood.cli import app
from multimood.local.kafka import KafkaServer
from multimood.local.ports import HOST, assign
from multimood.settings import KafkaSettings
from multimood.topics import TOPICS

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch) -> KafkaSettings:
    monkeypatch.setenv("MULTIMOOD_KAFKA_BROKERS", kafka.brokers)
    return KafkaSettings()


@pytest.fixture
def admin(settings: KafkaSettings) -> Iterator[KafkaAdminClient]:
    client = KafkaAdminClient(bootstrap_servers=settings.brokers)
    yield client
    client.close()


def lose(admin: KafkaAdminClient, name: str) -> None:
    """Delete a topic, and wait until the broker has forgotten it."""
    admin.delete_topics([name])
    deadline = time.monotonic() + 30
    while name in admin.list_topics():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def apply(**environment: str) -> Result:
    return CliRunner().invoke(app, ["topics", "apply"], env=environment)


def test_twice_is_once(settings: KafkaSettings, admin: KafkaAdminClient) -> None:
    apply_topics(settings)
    lost = TOPICS[0].dead_letters
    lose(admin, lost)
    first, second = apply(), apply()
    assert (first.exit_code, second.exit_code) == (0, 0), first.output + second.output
    assert f"created {lost}" in first.stdout
    assert "1 created" in first.stdout
    assert "0 created" in second.stdout
    there = admin.list_topics()
    assert {name for topic in TOPICS for name in (topic.name, topic.dead_letters)} <= set(there)


def test_the_broker_has_what_was_wanted(settings: KafkaSettings, admin: KafkaAdminClient) -> None:
    apply_topics(settings)
    specifications = wanted(settings)
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in specifications]
    described = admin.describe_configs(resources)
    for name, configuration in specifications.items():
        found = described["topic"][name]
        assert {key: found[key]["value"] for key in configuration} == configuration


def test_another_partition_count_is_an_operators_decision(settings: KafkaSettings) -> None:
    apply_topics(settings)
    result = apply(MULTIMOOD_KAFKA_PARTITIONS=str(settings.partitions + 3))
    assert result.exit_code == 1
    assert f"{settings.partitions} partitions, the settings say {settings.partitions + 3}" in result.output
    assert "MULTIMOOD_KAFKA_PARTITIONS" in result.output


def test_more_replicas_than_brokers_is_told(settings: KafkaSettings, admin: KafkaAdminClient) -> None:
    apply_topics(settings)
    lost = TOPICS[0].dead_letters
    lose(admin, lost)
    result = apply(MULTIMOOD_KAFKA_REPLICATION="3")
    assert result.exit_code == 1
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "replication" in result.output.lower()
    apply_topics(settings)


def test_without_a_broker_it_says_so() -> None:
    nobody = f"{HOST}:{assign(['nobody'])['nobody']}"
    result = apply(MULTIMOOD_KAFKA_BROKERS=nobody)
    assert result.exit_code == 1
    assert f"no answer from {nobody}" in result.output


def test_listing_needs_no_broker() -> None:
    result = CliRunner().invoke(
        app, ["topics", "ls"], env={"COLUMNS": "200", "MULTIMOOD_KAFKA_BROKERS": secrets.token_hex(2)}
    )
    assert result.exit_code == 0
    assert all(topic.name in result.stdout for topic in TOPICS)
