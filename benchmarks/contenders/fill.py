"""Fills the five topics: `python -m benchmarks.contenders.fill N BYTES PARTITIONS CONVERSATIONS [FIRST] [SKIP]`.

N complete utterances with vectors of BYTES, numbered on from FIRST. As many conversations as utterances let frameworks
that keep state by key do so. Headers as every service writes them. SKIP leaves the screening out: none is complete.
"""

import sys
import uuid
from datetime import UTC, datetime

from confluent_kafka import Producer  # type: ignore[import-not-found]

from benchmarks.contenders.job import BROKERS
from multimood import topics
from multimood.contracts.v1 import events_pb2 as pb

MODALITIES = (pb.MODALITY_TEXT, pb.MODALITY_AUDIO, pb.MODALITY_VIDEO)
HOP = pb.Hop(service="text_encoder", received_at_us=1_790_000_000_000_000, produced_at_us=1_790_000_000_010_000)


def headers(topic: topics.Topic, utterance_id: str) -> list[tuple[str, bytes]]:
    """CloudEvents attributes, as in `multimood.bus.envelope`."""
    return [
        ("ce_specversion", b"1.0"),
        ("ce_type", topic.event_type.encode()),
        ("ce_source", b"/multimood/bench"),
        ("content-type", b"application/protobuf"),
        ("ce_id", str(uuid.uuid4()).encode()),
        ("ce_time", datetime.now(UTC).isoformat().encode()),
        ("ce_subject", utterance_id.encode()),
    ]


def main() -> None:
    """Write, and wait until all of it is durable."""
    count, size, partitions, conversations = map(int, sys.argv[1:5])
    first, skips = int(sys.argv[5]) if len(sys.argv) > 5 else 0, "SKIP" in sys.argv
    vector, shape = bytes(size), [size // 4]
    producer = Producer(
        {
            "bootstrap.servers": BROKERS,
            "acks": "all",
            "enable.idempotence": True,  # or what is retried on a broker that just began comes out of order
            "linger.ms": 50,
            "batch.size": 1 << 19,
            "queue.buffering.max.messages": 1 << 20,
        }
    )
    for number in range(first, first + count):
        name = f"u{number}"
        about = pb.Context(tenant="bench", conversation_id=f"c{number % conversations}", utterance_id=name)
        said = pb.Utterance(context=about, manifest=MODALITIES, text="Not much to say today.", hops=[HOP])
        verdict = pb.Screening(context=about, level=pb.RISK_LEVEL_NONE, score=0.01, version="1", hops=[HOP])
        found = [
            pb.Embedding(
                context=about,
                modality=modality,
                vector=vector,
                shape=shape,
                model_name="m",
                model_version="1",
                hops=[HOP],
            )
            for modality in MODALITIES
        ]
        for topic, message in zip(
            (topics.UTTERANCE, topics.SCREENING, *topics.EMBEDDINGS), (said, verdict, *found), strict=True
        ):
            if skips and topic is topics.SCREENING:
                continue
            producer.produce(
                topic.name,
                message.SerializeToString(),
                topics.key_of(about),
                partition=number % conversations % partitions,
                headers=headers(topic, name),
            )
        if number % 100 == 0:
            producer.poll(0)
            while len(producer) > 200_000:
                producer.poll(0.05)
    if producer.flush(300):
        sys.exit("the broker did not take everything")


if __name__ == "__main__":
    main()
