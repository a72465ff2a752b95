"""Structured logs: one JSON object a line on standard error."""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Final

from opentelemetry import trace

from multimood.errors import MultimoodError

_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_NOISY: Final = ("aiokafka", "faust", "mode", "kafka", "urllib3", "httpx", "httpcore", "grpc", "asyncio")


class JsonFormatter(logging.Formatter):
    """Time, level, logger, message, trace id, and whatever `extra` carried."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """Render one line. A foreign exception is reduced to its type and place: its text may quote the input."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            line["trace_id"] = f"{span.trace_id:032x}"
        line.update((key, value) for key, value in record.__dict__.items() if key not in _STANDARD)
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = _describe(record.exc_info[1])
        return json.dumps(line, default=str, ensure_ascii=False)


def _describe(error: BaseException) -> dict[str, object]:
    places = [
        f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)[-8:]
    ]
    described: dict[str, object] = {"type": type(error).__name__, "at": places}
    if isinstance(error, MultimoodError):
        described["text"] = str(error)
    return described


def setup_logging(service: str, level: str = "INFO") -> None:
    """Send every logger of this process through the JSON formatter."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
