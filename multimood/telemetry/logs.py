"""Structured logs: one JSON object a line on standard error."""

import json
import logging
import math
import sys
import threading
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Final

from opentelemetry import trace

from multimood.errors import MultimoodError

_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_NOISY: Final = ("aiokafka", "faust", "mode", "kafka", "urllib3", "httpx", "httpcore", "grpc", "asyncio")
_OURS: Final = ("multimood", "services", "__main__")
_FOREIGN_LENGTH: Final = 300

logger = logging.getLogger(__name__)


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
            "message": record.getMessage() if _is_ours(record) else _foreign_message(record),
        }
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            line["trace_id"] = f"{span.trace_id:032x}"
        for key, value in record.__dict__.items():
            if key not in _STANDARD:
                line.setdefault(key, value)  # an extra never hides what a line is about
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = _describe(record.exc_info[1])
        return json.dumps(line, default=str, ensure_ascii=False)


class Sparing(logging.Filter):
    """Lets a line of a library's code speak once in `every_s` and counts what it did not say (`repeated`).

    Clients complain a hundred times a second about a broker that is away; that must not fill a disk.
    """

    def __init__(self, every_s: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._every_s = every_s
        self._clock = clock
        self._places: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record is to be written. Our own always are."""
        if _is_ours(record):
            return True
        place, now = (record.name, record.lineno), self._clock()
        said_at, withheld = self._places.get(place, (-math.inf, 0))
        if now - said_at < self._every_s:
            self._places[place] = (said_at, withheld + 1)
            return False
        if withheld:
            record.repeated = withheld
        self._places[place] = (now, 0)
        return True


def _is_ours(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] in _OURS


def _foreign_message(record: logging.LogRecord) -> str:
    """What a library says, without the texts of exceptions: as arguments, or below the first line (asyncio's tasks)."""
    args = record.args
    if isinstance(args, tuple):
        args = tuple(type(arg).__name__ if isinstance(arg, BaseException) else arg for arg in args)
    try:
        text = str(record.msg) % args if args else str(record.msg)
    except (TypeError, ValueError):  # the library's format was for something else
        text = str(record.msg)
    first = text.partition("\n")[0]
    if record.exc_info and record.exc_info[1] is not None:
        told = str(record.exc_info[1])
        first = first.replace(told, type(record.exc_info[1]).__name__) if told else first
    return first[:_FOREIGN_LENGTH]


def _describe(error: BaseException) -> dict[str, object]:
    places = [
        f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)[-8:]
    ]
    described: dict[str, object] = {"type": type(error).__name__, "at": places}
    if isinstance(error, MultimoodError):
        described["text"] = str(error)
    return described


def setup_logging(service: str, level: str = "INFO") -> None:
    """Send every logger of this process through the JSON formatter, and what nobody caught too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    handler.addFilter(Sparing())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _uncaught(kind: type[BaseException], error: BaseException | None, _at: TracebackType | None) -> None:
    if error is not None and not issubclass(kind, KeyboardInterrupt):
        logger.critical("nobody caught an error", exc_info=error)
