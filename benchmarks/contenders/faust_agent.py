"""A plain Faust agent over the five topics. `python -m benchmarks.contenders.faust_agent`.

Faust acknowledges a record when its handler is done: parts that wait in memory are committed. Less durable than the
others, and that is how the framework is used without a table.
"""

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
    consumer_auto_offset_reset="earliest",
    stream_wait_empty=False,
    datadir=tempfile.mkdtemp(),
    producer_acks=-1,
    producer_linger=0.005,
    producer_max_batch_size=1 << 18,
)
inputs = app.topic(*NAMES, key_serializer="raw", value_serializer="raw")
out = app.topic(OUT, key_serializer="raw", value_serializer="raw")
pending: dict[object, dict[str, object]] = {}


@app.agent(inputs)
async def join(stream):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Collect the parts."""
    first = True
    async for event in stream.events():
        if first:
            begun()
            first = False
        tp = event.message.tp
        key, value = part(tp.topic, event.message.key, event.message.value)
        parts = pending.setdefault(key, {})
        parts[tp.topic] = value
        if is_complete(parts):
            del pending[key]
            await out.send(key=event.message.key, value=joined(parts), partition=tp.partition)


sys.argv = ["faust", "worker", "-l", "warn", "--without-web"]
app.main()
