"""Creating the topics, by kafka-python's admin client (a synchronous edge tool)."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from kafka import KafkaAdminClient
from kafka.errors import (
    AuthorizationError as NotAuthorised,
)
from kafka.errors import (
    InvalidReplicationFactorError,
    NoError,
    TopicAlreadyExistsError,
    for_code,
)

from multimood.bus.asking import answers_of
from multimood.bus.connection import kafka_python_options
from multimood.bus.refusals import explained
from multimood.errors import ConfigurationError, UnavailableError
from multimood.settings import KafkaSettings
from multimood.topics import COMPACTION_LAG_MS, DEAD_LETTER_RETENTION_MS, DEAD_LETTER_ROOM, SEGMENT_MS, TOPICS

ANSWER_MS: Final = 15_000

Configurations = Mapping[str, Mapping[str, str]]


def wanted(settings: KafkaSettings) -> dict[str, dict[str, str]]:
    """Every topic's configuration, by name, dead letters included."""
    wanted: dict[str, dict[str, str]] = {}
    for topic in TOPICS:
        # The broker's clock: a worker that takes a partition over looks by time for what was published before.
        common = {"message.timestamp.type": "LogAppendTime", "segment.ms": str(SEGMENT_MS)}
        wanted[topic.name] = {
            **common, "max.message.bytes": str(topic.max_message_bytes), "cleanup.policy": topic.cleanup,
            "retention.ms": str(topic.retention_ms),
        }  # fmt: skip
        if "compact" in topic.cleanup:
            wanted[topic.name]["max.compaction.lag.ms"] = str(COMPACTION_LAG_MS)
        # A dead letter is the original record and some headers more.
        larger = str(settings.max_message_bytes + DEAD_LETTER_ROOM)
        wanted[topic.dead_letters] = {
            "max.message.bytes": larger, "cleanup.policy": "delete", "segment.ms": str(SEGMENT_MS),
            "retention.ms": str(max(DEAD_LETTER_RETENTION_MS, topic.retention_ms)),
        }  # fmt: skip
    return wanted


def apply_topics(settings: KafkaSettings) -> list[str]:
    """Create the topics that are missing; returns their names. Existing ones are left as they are.

    Raises UnavailableError when the broker cannot be reached, a RefusedError when it does not let us in, and
    ConfigurationError when it refuses what the settings say, or when an existing topic has another partition count
    (conversations would lose their order: that is an operator's decision, never ours).
    """
    with admin_client(settings, "making the topics") as admin:
        specifications = wanted(settings)
        there = set(admin.list_topics())
        _check_counts(admin, settings, there & specifications.keys())
        return _create(admin, settings, {name: specifications[name] for name in specifications.keys() - there})


@contextlib.contextmanager
def admin_client(settings: KafkaSettings, doing: str) -> Iterator[Any]:
    """An admin client while the block runs. Raises UnavailableError, a RefusedError where the brokers refuse us."""
    with answers_of(settings, doing), contextlib.closing(KafkaAdminClient(**kafka_python_options(settings))) as admin:
        yield admin


def _check_counts(admin: Any, settings: KafkaSettings, names: set[str]) -> None:
    for found in admin.describe_topics(sorted(names)) if names else ():
        count = len(found["partitions"])
        if count != settings.partitions:
            raise ConfigurationError(
                f"topic {found['name']} has {count} partitions, the settings say {settings.partitions}: set "
                "MULTIMOOD_KAFKA_PARTITIONS to what is there, or add partitions to all topics together"
            )


def _create(admin: Any, settings: KafkaSettings, missing: Configurations) -> list[str]:
    if not missing:
        return []
    shape = {"num_partitions": settings.partitions, "replication_factor": settings.replication}
    answer = admin.create_topics(
        {name: {**shape, "configs": configuration} for name, configuration in missing.items()},
        timeout_ms=ANSWER_MS,
        raise_errors=False,
    )
    created = []
    for topic in answer["topics"]:
        error = for_code(topic["error_code"])
        if error is InvalidReplicationFactorError:
            raise ConfigurationError(
                f"the broker cannot keep {settings.replication} copies of a topic: set MULTIMOOD_KAFKA_REPLICATION to "
                "at most the number of brokers"
            )
        if issubclass(error, NotAuthorised):
            raise explained(error(topic["name"]), settings, "making the topics")
        if error is NoError:
            created.append(topic["name"])
        elif error is not TopicAlreadyExistsError:  # which another replica of ours made at the same moment
            raise UnavailableError(f"topic {topic['name']} was not made: {error.__name__}")
    admin.wait_for_topics(created, timeout_ms=ANSWER_MS)
    return sorted(created)
