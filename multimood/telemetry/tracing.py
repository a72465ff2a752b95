"""Trace context carried by hand through Kafka headers (W3C `traceparent`)."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags
from opentelemetry.util.types import Attributes


class DiscreetTracer:
    """Starts spans that take an exception's type, never its text: that may quote what a person said."""

    def __init__(self, inner: trace.Tracer) -> None:
        self._inner = inner

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
    ) -> Span:
        """A span that the caller ends."""
        return self._inner.start_span(
            name, context, kind, attributes, links, record_exception=False, set_status_on_exception=False
        )

    @contextmanager
    def start_as_current_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
    ) -> Iterator[Span]:
        """A span around a block. An exception that leaves the block marks it as failed."""
        span = self.start_span(name, context, kind, attributes, links)
        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                yield span
            except BaseException as error:
                span.set_status(trace.StatusCode.ERROR, type(error).__name__)
                raise


_TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


def current_traceparent() -> str:
    """The current span as a `traceparent` header; empty when there is none."""
    span = trace.get_current_span().get_span_context()
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}" if span.is_valid else ""


def _parse(traceparent: str) -> SpanContext | None:
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in found.groups())
    context = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    return context if context.is_valid else None


def is_traceparent(text: str) -> bool:
    """Tell whether a header is a W3C trace context of version 00."""
    return _parse(text) is not None


def remote_context(traceparent: str) -> Context | None:
    """The context to start a child span in; None when the header is absent or malformed."""
    parent = _parse(traceparent)
    return trace.set_span_in_context(NonRecordingSpan(parent), Context()) if parent else None


def span_link(traceparent: str) -> Link | None:
    """A link to the span that a record came from."""
    linked = _parse(traceparent)
    return Link(linked) if linked else None
