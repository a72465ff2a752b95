"""A service's own line in the timing of an utterance."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from google.protobuf.message import Message

from multimood.bus.envelope import Event
from multimood.clock import now_us
from multimood.contracts.v1 import events_pb2 as pb
from multimood.telemetry import Durations

_hop = Durations("multimood_hop_duration", "Record received to output handed over")
_own = Durations("multimood_hop_own_duration", "The same without waiting for models")


class HopClock:
    """Started with the record, stopped when the output is made; time inside `model()` is counted apart."""

    def __init__(self, service: str, received_at_us: int) -> None:
        self._service = service
        self._received_at_us = received_at_us
        self._model_us = 0

    @classmethod
    def of(cls, service: str, event: Event[Message]) -> "HopClock":
        """A clock that began when the event reached the service."""
        return cls(service, event.received_at_us)

    @contextmanager
    def model(self) -> Iterator[None]:
        """Time spent here is waiting for a model server, the store or an LLM."""
        start = time.perf_counter_ns()
        try:
            yield
        finally:
            self._model_us += (time.perf_counter_ns() - start) // 1000

    def hop(self) -> pb.Hop:
        """The finished line; also measured as metrics."""
        produced = now_us()
        total_us = max(0, produced - self._received_at_us)
        _hop.record(self._service, total_us / 1000)
        _own.record(self._service, max(0, total_us - self._model_us) / 1000)
        return pb.Hop(
            service=self._service, received_at_us=self._received_at_us, produced_at_us=produced, model_us=self._model_us
        )
