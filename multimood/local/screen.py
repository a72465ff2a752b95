"""How the state of a system looks on a terminal, and in a log where there is none."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from multimood.local.state import PartStatus, SystemState

STYLES: Final = {
    "waiting": "dim",
    "starting": "cyan",
    "ready": "green",
    "not ready": "yellow",
    "restarting": "yellow",
    "stopping": "cyan",
    "stopped": "dim",
    "failed": "bold red",
}
_MINUTE: Final = 60
_HOUR: Final = 3600


def span(seconds: float) -> str:
    """Write a duration for people: 4.2 s, 3 min 12 s, 5 h 07 min."""
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min {seconds % _MINUTE:02.0f} s"
    return f"{seconds // _HOUR:.0f} h {seconds % _HOUR // _MINUTE:02.0f} min"


def progress_table(state: SystemState) -> Table:
    """Each part with its condition and how long the start took, or has taken so far."""
    table = Table("part", "state", Column("seconds", justify="right"), "", box=None, pad_edge=False)
    for part in state.parts.values():
        table.add_row(
            part.name, _condition(part), Text(_seconds(part), justify="right"), Text(part.detail, style="dim")
        )
    return table


def status_table(state: SystemState, lag: Mapping[str, int]) -> Table:
    """Each part with process, port, uptime, restarts, and the records its group has still to read."""
    table = Table(box=None, pad_edge=False)
    for title in ("part", "state", "pid", "port", "up", "restarts", "lag", ""):
        table.add_column(title, justify="left" if title in {"part", "state", ""} else "right")
    for part in state.parts.values():
        identity = part.identity
        table.add_row(
            part.name,
            _condition(part),
            str(part.pid or ""),
            str(part.port or ""),
            span(identity.uptime_s()) if identity else "",
            str(part.restarts or ""),
            str(lag.get(part.name, "")),
            Text(part.detail, style="dim"),
        )
    return table


class Progress:
    """Shows a starting or ending system: a live table on a terminal, a line per change elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=8) if console.is_terminal else None
        self._shown: dict[str, str] = {}
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, state: SystemState) -> None:
        """Show the state as it is now."""
        if self._live:
            self._live.update(progress_table(state))
            return
        for part in state.parts.values():
            if self._shown.get(part.name) != part.condition and part.condition != "waiting":
                elapsed = time.monotonic() - self._began
                took = f" after {part.ready_s:.1f} s" if part.condition == "ready" and part.ready_s is not None else ""
                self._console.print(
                    f"[{elapsed:5.1f} s] {part.name:14}{part.condition}{took}", highlight=False, markup=False
                )
                self._shown[part.name] = part.condition


def _condition(part: PartStatus) -> Text:
    return Text(part.condition, style=STYLES[part.condition])


def _seconds(part: PartStatus) -> str:
    if part.condition == "ready" and part.ready_s is not None:
        return f"{part.ready_s:.1f}"
    return "" if part.condition == "waiting" else f"{time.time() - part.since:.1f}"
