"""The bus: a small layer over Faust that every service uses.

Typed protobuf in and out, a record acknowledged only after its outputs are durable, retries with classification, dead
letters with the original bytes, order per conversation, trace context, graceful drain, health.
"""

from multimood.bus.delivery import Bus, Delivery, Processor
from multimood.bus.envelope import Event, Output, event_id, output
from multimood.bus.following import Following
from multimood.bus.handler import Handler
from multimood.bus.hops import HopClock
from multimood.bus.joining import JoinedParts, Joining, Part
from multimood.bus.publisher import Publisher
from multimood.bus.retry import RetryPolicy
from multimood.bus.running import run_worker
from multimood.bus.tail import Follower, Received
from multimood.bus.worker import Worker, WorkerSettings

__all__ = [
    "Bus",
    "Delivery",
    "Event",
    "Follower",
    "Following",
    "Handler",
    "HopClock",
    "JoinedParts",
    "Joining",
    "Output",
    "Part",
    "Processor",
    "Publisher",
    "Received",
    "RetryPolicy",
    "Worker",
    "WorkerSettings",
    "event_id",
    "output",
    "run_worker",
]
