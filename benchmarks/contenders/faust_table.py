"""A Faust Table as the join's state, with its changelog. `python -m benchmarks.contenders.faust_table`."""

import sys
import tempfile

import faust

from benchmarks.contenders.job import BROKERS, GROUP, NAMES, OUT, begun, is_complete, joined, part

app = faust.App(
    GROUP,
    broker=f"kafka://{BROKERS}",
    store="memory://",
    web_enabled=False,
    topic_disable_leader=True,
    topic_replication_factor=1,
    topic_partitions=4,
    consumer_auto_offset_reset="earliest",
    stream_wait_empty=False,
    datadir=tempfile.mkdtemp(),
    producer_acks=-1,
    producer_linger=0.005,
    producer_max_batch_size=1 << 18,
)
inputs = app.topic(*NAMES, key_serializer="raw", value_serializer="raw")
out = app.topic(OUT, key_serializer="raw", value_serializer="raw")
schema = faust.Schema(key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="pickle")
table = app.Table("parts", default=None, partitions=4, schema=schema)


@app.agent(inputs)
async def join(stream):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Collect the raw parts in the table; parse what is complete."""
    first = True
    async for event in stream.events():
        if first:
            begun()
            first = False
        message = event.message
        parts = {**(table.get(message.key) or {}), message.tp.topic: message.value}
        if is_complete(parts):
            del table[message.key]
            whole = {topic: part(topic, message.key, value)[1] for topic, value in parts.items()}
            await out.send(key=message.key, value=joined(whole), partition=message.tp.partition)
        else:
            table[message.key] = parts


sys.argv = ["faust", "worker", "-l", "warn", "--without-web"]
app.main()
