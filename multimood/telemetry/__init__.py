"""Logs, metrics and traces of a service, by ids, counts and durations only.

Nothing a person said goes into any of them: nothing here takes content, foreign exceptions are logged by type and
place only, and a guard test sends a canary sentence through the system and searches everything for it.
"""

from multimood.telemetry.logs import setup_logging
from multimood.telemetry.measures import ONE_TO_TEN, TENTHS, Durations, Level, Scores, Tally
from multimood.telemetry.setup import meter, setup, shutdown, tracer
from multimood.telemetry.tracing import current_traceparent, is_traceparent, remote_context, span_link

__all__ = [
    "ONE_TO_TEN",
    "TENTHS",
    "Durations",
    "Level",
    "Scores",
    "Tally",
    "current_traceparent",
    "is_traceparent",
    "meter",
    "remote_context",
    "setup",
    "setup_logging",
    "shutdown",
    "span_link",
    "tracer",
]
