"""How many records each service has still to read."""

from collections import defaultdict

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from multimood.bus.connection import kafka_python_options
from multimood.settings import KafkaSettings


def lag_of_groups(settings: KafkaSettings) -> dict[str, int]:
    """Sum end offset minus committed offset over the partitions of each service's group, by service.

    Empty when the broker does not answer: this is for looking, not for deciding.
    """
    prefix = f"{settings.group_prefix}."
    try:
        admin = KafkaAdminClient(
            **kafka_python_options(settings) | {"request_timeout_ms": 3_000, "bootstrap_timeout_ms": 2_000}
        )
    except KafkaError:
        return {}
    try:
        lag: dict[str, int] = defaultdict(int)
        groups = [group["group_id"] for group in admin.list_groups()]
        committed = admin.list_group_offsets([group for group in groups if group.startswith(prefix)])
        partitions = {partition for offsets in committed.values() for partition in offsets}
        ends = admin.list_partition_offsets(dict.fromkeys(partitions, -1))
        for group, offsets in committed.items():
            for partition, read in offsets.items():
                lag[group.removeprefix(prefix)] += max(0, ends[partition].offset - max(0, read.offset))
        return dict(lag)
    except KafkaError:
        return {}
    finally:
        admin.close()
