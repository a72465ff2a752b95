"""Quix Streams: five topics concatenated, one stateful step. `python -m benchmarks.contenders.quix`."""

import logging
import pickle
import tempfile
from typing import Any

from quixstreams import Application, State  # type: ignore[import-not-found]

from benchmarks.contenders.job import BROKERS, GROUP, NAMES, OUT, begun, is_complete, joined, part


class Timed(Application):  # type: ignore[misc]
    """Says when it has its partitions: it reads 10,000 records of each ahead before the first is handled."""

    def _on_assign(self, *details: Any) -> None:
        begun()
        super()._on_assign(*details)


app = Timed(
    broker_address=BROKERS,
    consumer_group=GROUP,
    auto_offset_reset="earliest",
    processing_guarantee="at-least-once",
    state_dir=tempfile.mkdtemp(),
    producer_extra_config={"acks": "all", "linger.ms": 5, "batch.size": 1 << 18},
    loglevel=logging.WARNING,
)
streams = []
for name in NAMES:
    frame = app.dataframe(app.topic(name, key_deserializer="bytes", value_deserializer="bytes"))
    streams.append(frame.apply(lambda value, name=name: (name, value)))
both = streams[0]
for other in streams[1:]:
    both = both.concat(other)


def collect(value: tuple[str, bytes], key: bytes, _timestamp: int, _headers: object, state: State) -> bytes | None:
    """Keep the raw parts in the state; give what is complete."""
    topic, raw = value
    kept = state.get_bytes("parts")
    parts = pickle.loads(kept) if kept else {}
    parts[topic] = raw
    if not is_complete(parts):
        state.set_bytes("parts", pickle.dumps(parts))
        return None
    state.delete("parts")
    return joined({topic: part(topic, key, value)[1] for topic, value in parts.items()})


joining = both.apply(collect, stateful=True, metadata=True)
joining = joining.filter(lambda value: value is not None)
joining.to_topic(app.topic(OUT, key_serializer="bytes", value_serializer="bytes"))
app.run()
