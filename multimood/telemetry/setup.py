"""Tracer and meter of a process. Spans go to an OTLP collector, or as JSON lines to a folder, or nowhere."""

import json
import threading
from collections.abc import Sequence
from pathlib import Path

from opentelemetry import metrics, trace
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from multimood import __version__
from multimood.settings import TelemetrySettings
from multimood.telemetry.logs import setup_logging
from multimood.telemetry.measures import MILLISECONDS
from multimood.telemetry.tracing import DiscreetTracer

SPAN_FILE_BYTES = 32 << 20
SHUTDOWN_S = 3.0


class JsonLinesExporter(SpanExporter):
    """Appends spans to `<folder>/<service>.spans.jsonl`; the previous file is kept when one is full."""

    def __init__(self, folder: Path, service: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{service}.spans.jsonl"

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write the spans, one compact object a line."""
        if self._path.exists() and self._path.stat().st_size > SPAN_FILE_BYTES:
            self._path.replace(self._path.with_suffix(".old.jsonl"))
        with self._path.open("a", encoding="utf-8") as out:
            out.writelines(json.dumps(json.loads(span.to_json()), separators=(",", ":")) + "\n" for span in spans)
        return SpanExportResult.SUCCESS


def setup(service: str, settings: TelemetrySettings) -> None:
    """Install logging, tracing and metrics for this process. Call once, first."""
    setup_logging(service, settings.log_level)
    resource = Resource.create(
        {"service.name": service, "service.namespace": "multimood", "service.version": __version__}
    )
    provider = TracerProvider(resource=resource)
    if settings.otlp_endpoint:
        provider.add_span_processor(BatchSpanProcessor(_to_collector(settings.otlp_endpoint)))
    if settings.folder is not None:
        provider.add_span_processor(
            BatchSpanProcessor(JsonLinesExporter(settings.folder, service), schedule_delay_millis=1000)
        )
    trace.set_tracer_provider(provider)
    durations = View(instrument_name="*.duration", aggregation=ExplicitBucketHistogramAggregation(MILLISECONDS))
    metrics.set_meter_provider(MeterProvider([PrometheusMetricReader()], resource, views=[durations]))


def _to_collector(endpoint: str) -> SpanExporter:
    # It costs every start 0.15 s; most processes of an embedded system send to nobody.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

    return OTLPSpanExporter(endpoint=endpoint, insecure=not endpoint.startswith("https://"))


def shutdown() -> None:
    """Send what is still buffered, if a collector takes it soon."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        sending = threading.Thread(target=provider.shutdown, daemon=True)  # it has no time limit of its own
        sending.start()
        sending.join(SHUTDOWN_S)


def tracer() -> DiscreetTracer:
    """The tracer of this process; its spans never hold an exception's text."""
    return DiscreetTracer(trace.get_tracer("multimood", __version__))


def meter() -> metrics.Meter:
    """The meter of this process."""
    return metrics.get_meter("multimood", __version__)
