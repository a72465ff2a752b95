"""What is measured of every call, by model and outcome, and nothing of its content."""

import asyncio
import time
from types import TracebackType
from typing import Self

from opentelemetry.trace import SpanKind, Status, StatusCode

from multimood.errors import MultimoodError
from multimood.telemetry import meter, tracer

_duration = meter().create_histogram("multimood.inference.duration", unit="ms", description="Calls, retries included")
_wait = meter().create_histogram("multimood.inference.wait.duration", unit="ms", description="Until a call is sent")
_first = meter().create_histogram("multimood.inference.first.duration", unit="ms", description="First of a stream")
_in_flight = meter().create_up_down_counter("multimood.inference.in_flight", description="Calls on their way")
_retries = meter().create_counter("multimood.inference.retries", description="Repeated attempts")


class Call:
    """One call from its begin to its end, whatever that is; a context manager."""

    def __init__(self, model: str) -> None:
        self.has_answer = False
        self._model = {"model": model}
        self._begin = time.perf_counter()
        # Not made the current span: the consumer of a stream runs in between.
        self._span = tracer().start_span(f"infer {model}", kind=SpanKind.CLIENT, attributes=self._model)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        outcome = "ok" if error is None else error.code if isinstance(error, MultimoodError) else "left"
        _duration.record(self._elapsed_ms(), {**self._model, "outcome": outcome})
        if isinstance(error, MultimoodError):
            self._span.set_status(Status(StatusCode.ERROR, outcome))
        self._span.end()

    def begin_turn(self) -> None:
        """Note that the call is sent."""
        _wait.record(self._elapsed_ms(), self._model)
        _in_flight.add(1, self._model)

    def end_turn(self) -> None:
        """Note that it is over, well or not."""
        _in_flight.add(-1, self._model)

    async def retry_after(self, pause_s: float) -> None:
        """Wait before another attempt."""
        _retries.add(1, self._model)
        await asyncio.sleep(pause_s)

    def answered(self) -> None:
        """Note a response of a stream."""
        if not self.has_answer:
            self.has_answer = True
            _first.record(self._elapsed_ms(), self._model)

    def _elapsed_ms(self) -> float:
        return (time.perf_counter() - self._begin) * 1000
