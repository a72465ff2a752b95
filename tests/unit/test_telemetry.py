"""What goes into logs and spans, and that an exception's text does not."""

import asyncio
import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bus_fakes import CANARY
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from multimood.errors import UnavailableError
from multimood.telemetry import current_traceparent, is_traceparent, remote_context, span_link
from multimood.telemetry.logs import JsonFormatter, Sparing
from multimood.telemetry.setup import JsonLinesExporter
from multimood.telemetry.tracing import DiscreetTracer

pytestmark = pytest.mark.unit

telemetry_setup = sys.modules["multimood.telemetry.setup"]  # the package has a function of that name
TRACE = f"00-{'a' * 32}-{'b' * 16}-01"


class Sink:
    """Loggers of any name, written through the formatter."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self._handler = logging.StreamHandler(self.stream)
        self._handler.setFormatter(JsonFormatter("joiner"))
        self._loggers: list[logging.Logger] = []

    def logger(self, name: str) -> logging.Logger:
        logger = logging.getLogger(name)
        logger.addHandler(self._handler)
        logger.propagate = False
        logger.setLevel(logging.DEBUG)
        self._loggers.append(logger)
        return logger

    def close(self) -> None:
        for logger in self._loggers:
            logger.removeHandler(self._handler)
            logger.propagate = True
            logger.setLevel(logging.NOTSET)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def sink() -> Iterator[Sink]:
    one = Sink()
    yield one
    one.close()


def test_a_line_is_one_json_object_with_its_extra(sink: Sink) -> None:
    sink.logger("multimood.test").info("it went %s", "well\nand on", extra={"count": 3, "topic": "ä"})
    (line,) = sink.lines
    assert (line["level"], line["service"], line["logger"]) == ("info", "joiner", "multimood.test")
    assert (line["message"], line["count"], line["topic"]) == ("it went well\nand on", 3, "ä")
    assert line["time"].endswith("+00:00")


def test_an_extra_hides_nothing_of_the_line(sink: Sink) -> None:
    sink.logger("multimood.test").warning("raised", extra={"level": "HIGH", "service": "another"})
    (line,) = sink.lines
    assert (line["level"], line["service"]) == ("warning", "joiner")


def test_of_a_foreign_exception_only_type_and_place_are_written(sink: Sink) -> None:
    def fail() -> None:
        raise ValueError(CANARY)

    try:
        fail()
    except ValueError:
        sink.logger("services.test").exception("dead letter")
    (line,) = sink.lines
    assert line["error"]["type"] == "ValueError"
    assert line["error"]["at"][-1].endswith(" fail")
    assert CANARY not in sink.stream.getvalue()


def test_our_own_exceptions_may_speak(sink: Sink) -> None:
    sink.logger("multimood.test").error("later", exc_info=UnavailableError("the store did not answer"))
    assert sink.lines[0]["error"]["text"] == "the store did not answer"


def test_libraries_cannot_tell_what_an_exception_said(sink: Sink) -> None:
    foreign, error = sink.logger("faust.agents"), ValueError(CANARY)
    foreign.error("agent raised %r", error)
    foreign.error("agent raised %(error)s", {"error": 1})
    foreign.error("Task exception was never retrieved\nfuture: <Task exception=ValueError(%s)>", CANARY)
    foreign.error(f"it said {CANARY}", exc_info=error)
    foreign.error("too many %s", 1, 2)
    foreign.error("x" * 5000)
    assert CANARY not in sink.stream.getvalue()
    messages = [line["message"] for line in sink.lines]
    assert messages[:2] == ["agent raised 'ValueError'", "agent raised 1"]
    assert messages[2] == "Task exception was never retrieved"
    assert messages[3] == "it said ValueError"
    assert len(messages[5]) == 300


async def test_asyncio_does_not_tell_either(sink: Sink) -> None:
    sink.logger("asyncio")

    async def fails() -> None:
        raise ValueError(CANARY)

    task = asyncio.create_task(fails())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
    assert sink.lines[0]["message"] == "Task exception was never retrieved"
    assert CANARY not in sink.stream.getvalue()


def test_what_nobody_catches_goes_through_the_same_sieve(tmp_path: Path) -> None:
    program = (
        "import threading\nfrom multimood.telemetry import setup_logging\nsetup_logging('test')\n"
        f"def fail(): raise ValueError({CANARY!r})\n"
        "one = threading.Thread(target=fail); one.start(); one.join(); fail()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["error"]["type"] for line in lines] == ["ValueError"] * 2
    assert CANARY not in done.stderr
    assert done.returncode == 1


class TestSparing:
    @staticmethod
    def record(name: str, line: int = 1) -> logging.LogRecord:
        return logging.LogRecord(name, logging.ERROR, "file", line, "no broker", (), None)

    def test_a_library_says_a_thing_once_in_a_while_and_how_often_it_wanted_to(self) -> None:
        now = [0.0]
        sparing = Sparing(10, lambda: now[0])
        passed = []
        for second in range(25):
            now[0] = float(second)
            record = self.record("aiokafka")
            if sparing.filter(record):
                passed.append((second, getattr(record, "repeated", 0)))
        assert passed == [(0, 0), (10, 9), (20, 9)]

    def test_other_places_and_our_own_are_not_held_up(self) -> None:
        sparing = Sparing(10, lambda: 0.0)
        assert sparing.filter(self.record("aiokafka", 1))
        assert sparing.filter(self.record("aiokafka", 2))
        assert sparing.filter(self.record("kafka", 1))
        assert not sparing.filter(self.record("aiokafka", 1))
        assert all(sparing.filter(self.record("multimood.bus.worker")) for _ in range(5))


@pytest.fixture
def spans() -> tuple[DiscreetTracer, InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return DiscreetTracer(provider.get_tracer("test")), exporter


def test_a_span_takes_an_exceptions_type_and_not_its_text(spans: tuple[DiscreetTracer, InMemorySpanExporter]) -> None:
    tracer, exporter = spans
    with pytest.raises(ValueError, match=CANARY), tracer.start_as_current_span("one"):
        raise ValueError(CANARY)
    with pytest.raises(ValueError, match=CANARY), tracer.start_span("two"):
        raise ValueError(CANARY)
    first, second = exporter.get_finished_spans()
    assert (first.status.is_ok, first.status.description) == (False, "ValueError")
    assert CANARY not in first.to_json() + second.to_json()


def test_a_trace_is_carried_by_hand(spans: tuple[DiscreetTracer, InMemorySpanExporter]) -> None:
    tracer, exporter = spans
    assert current_traceparent() == ""
    with tracer.start_as_current_span("child", remote_context(TRACE)):
        carried = current_traceparent()
    (span,) = exporter.get_finished_spans()
    assert carried == f"00-{'a' * 32}-{span.context.span_id:016x}-01"
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == "b" * 16
    link = span_link(carried)
    assert link is not None
    assert link.context.span_id == span.context.span_id


@pytest.mark.parametrize(
    "text",
    ["", CANARY, TRACE[:-1], TRACE + "0", TRACE.upper(), "01" + TRACE[2:], TRACE.replace("a", "0"),
     TRACE.replace("b", "0"), TRACE + "\n"],
)  # fmt: skip
def test_what_is_no_trace_is_none(text: str) -> None:
    assert is_traceparent(TRACE)
    assert not is_traceparent(text)
    assert remote_context(text) is None
    assert span_link(text) is None


def test_spans_are_appended_and_the_file_does_not_grow_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(JsonLinesExporter(tmp_path / "spans", "joiner")))
    tracer = provider.get_tracer("test")
    for name in ("one", "two"):
        tracer.start_span(name).end()
    file = tmp_path / "spans" / "joiner.spans.jsonl"
    assert [json.loads(line)["name"] for line in file.read_text().splitlines()] == ["one", "two"]
    monkeypatch.setattr(telemetry_setup, "SPAN_FILE_BYTES", 10)
    for name in ("three", "four", "five"):
        tracer.start_span(name).end()
    assert [json.loads(line)["name"] for line in file.read_text().splitlines()] == ["five"]
    assert [path.name for path in file.parent.iterdir() if path != file] == ["joiner.spans.old.jsonl"]


def test_the_end_does_not_wait_for_a_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = threading.Event()

    class Provider(TracerProvider):
        def shutdown(self) -> None:
            hanging.wait(30)

    monkeypatch.setattr(telemetry_setup, "SHUTDOWN_S", 0.02)
    monkeypatch.setattr(telemetry_setup.trace, "get_tracer_provider", Provider)
    telemetry_setup.shutdown()
    hanging.set()
