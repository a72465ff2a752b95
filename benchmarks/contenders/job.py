"""The job that all contenders do: what they read, when an utterance is complete, what they write. No framework here."""

import os
import sys
from collections.abc import Mapping
from typing import Any, Final

from multimood import topics
from multimood.contracts.v1 import events_pb2 as pb

INPUTS: Final = (topics.UTTERANCE, topics.SCREENING, *topics.EMBEDDINGS)
NAMES: Final = tuple(topic.name for topic in INPUTS)
MESSAGES: Final = {topic.name: topic.message for topic in INPUTS}
EMBEDDINGS: Final = tuple(topic.name for topic in topics.EMBEDDINGS)
BEGUN: Final = "the first record is here"

BROKERS: Final = os.environ.get("BENCH_BROKERS", "")
GROUP: Final = os.environ.get("BENCH_GROUP", "")
OUT: Final = os.environ.get("BENCH_OUT", "")
BYTES: Final = bool(os.environ.get("BENCH_BYTES"))
"""Move bytes only: nothing is parsed, the output is the inputs end to end."""

Parts = Mapping[str, Any]


def part(topic: str, key: bytes, value: bytes) -> tuple[Any, Any]:
    """What the record says, and of which utterance."""
    if BYTES:
        return key, value
    message: Any = MESSAGES[topic]()
    message.ParseFromString(value)
    context = message.context
    return (context.tenant, context.conversation_id, context.utterance_id), message


def is_complete(parts: Parts) -> bool:
    """Tell whether all of the utterance is here."""
    return len(parts) == len(NAMES)


def joined(parts: Parts) -> bytes:
    """The record to write: `Features` as our joiner makes it, without ids, headers and timing."""
    if BYTES:
        return b"".join(parts[name] for name in NAMES)
    said = parts[topics.UTTERANCE.name]
    features = pb.Features(
        context=said.context,
        manifest=said.manifest,
        text=said.text,
        has_language=True,
        screening=parts[topics.SCREENING.name],
        embeddings=[parts[name] for name in EMBEDDINGS],
    )
    return features.SerializeToString()


class Open:
    """Offsets that were read and are not done, of one partition: what may be committed is the lowest."""

    def __init__(self) -> None:
        self.offsets: dict[int, None] = {}
        self.position = 0

    def read(self, offset: int) -> None:
        """Take note of a record."""
        self.offsets[offset] = None
        self.position = offset + 1

    def committable(self) -> int:
        """Everything below is done."""
        return next(iter(self.offsets), self.position)


def begun() -> None:
    """Say that work begins: from here on we are timed."""
    print(BEGUN, file=sys.__stdout__, flush=True)
