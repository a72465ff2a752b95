"""Creating the topics, by kafka-python's admin client (a synchronous edge tool)."""

import contextlib

from kafka import KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError

from multimood.errors import UnavailableError
from multimood.settings import KafkaSettings
from multimood.topics import DEAD_LETTER_RETENTION_MS, TOPICS


def wanted(settings: KafkaSettings) -> dict[str, dict[str, str]]:
    """Every topic's configuration, by name, dead letters included."""
    wanted: dict[str, dict[str, str]] = {}
    for topic in TOPICS:
        common = {"max.message.bytes": str(topic.max_message_bytes)}
        wanted[topic.name] = {**common, "cleanup.policy": topic.cleanup, "retention.ms": str(topic.retention_ms)}
        # A dead letter is the original record and some headers more.
        larger = str(settings.max_message_bytes + (64 << 10))
        wanted[topic.dead_letters] = {
            "max.message.bytes": larger, "cleanup.policy": "delete", "retention.ms": str(DEAD_LETTER_RETENTION_MS),
        }  # fmt: skip
    return wanted


def apply_topics(settings: KafkaSettings) -> list[str]:
    """Create the topics that are missing; returns their names. Existing ones are left as they are.

    Raises UnavailableError when the broker cannot be reached, or when an existing topic has another partition count
    (conversations would lose their order: that is an operator's decision, never ours).
    """
    try:
        admin = KafkaAdminClient(bootstrap_servers=settings.brokers.split(","), request_timeout_ms=15_000)
    except KafkaError as error:
        raise UnavailableError(f"no broker answers at {settings.brokers}: {type(error).__name__}") from None
    try:
        specifications = wanted(settings)
        existing = set(admin.list_topics())
        missing = {
            name: {
                "num_partitions": settings.partitions,
                "replication_factor": settings.replication,
                "configs": configuration,
            }
            for name, configuration in specifications.items()
            if name not in existing
        }
        if missing:
            with contextlib.suppress(TopicAlreadyExistsError):  # another replica did the same at the same moment
                admin.create_topics(missing, timeout_ms=15_000)
        for found in admin.describe_topics([name for name in specifications if name in existing]):
            count = len(found["partitions"])
            if count != settings.partitions:
                name = found.get("topic", found.get("name"))
                raise UnavailableError(
                    f"topic {name} has {count} partitions, the settings say {settings.partitions}: set "
                    "MULTIMOOD_KAFKA_PARTITIONS to what is there, or add partitions to all topics together"
                )
        return list(missing)
    finally:
        admin.close()
