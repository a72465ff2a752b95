"""`multimood experience`: what is in the log, of a bucket or a folder. What people said is shown only on request."""

import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from multimood.errors import MultimoodError
from multimood.local.endpoints import Endpoints
from multimood.settings import StoreSettings

if TYPE_CHECKING:
    from multimood.experience import Source

DATA: Final = Path(".data")
DAY: Final = "%Y-%m-%d"
NO_DAY: Final = "no day"

app = typer.Typer(no_args_is_help=True, help="The experience log: rows a researcher learns from.")

FolderOption = Annotated[
    Path | None, typer.Option("--folder", help="A folder with the log's Parquet files, or one file.", exists=True)
]
DataOption = Annotated[Path, typer.Option("--data", help="Folder of the local system whose store to read.")]
FromOption = Annotated[datetime | None, typer.Option("--from", formats=[DAY], help="First day (UTC).")]
ToOption = Annotated[datetime | None, typer.Option("--to", formats=[DAY], help="Last day (UTC).")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")]


@app.command("ls")
def ls(
    folder: FolderOption = None,
    data: DataOption = DATA,
    first: FromOption = None,
    last: ToOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count the rows, day by day. Reads the store of MULTIMOOD_S3_ENDPOINT, else that of the local system."""
    with _log(folder, data) as found:
        days = _by_day(found.rows(_days(first, last)))
    if as_json:
        for day in days.values():
            typer.echo(json.dumps(day.as_json()))
        return
    table = Table("day", "rows", "conversations", "fit for evaluation", "mean reward", "feedback")
    for day in days.values():
        table.add_row(*(str(value) if value is not None else "-" for value in day.as_json().values()))
    Console().print(table if days else f"no rows in {found.place}")


@app.command("show")
def show(  # noqa: PLR0917 - each is an option
    utterances: Annotated[
        list[str] | None, typer.Argument(help="Utterance ids; without them, the newest rows.")
    ] = None,
    folder: FolderOption = None,
    data: DataOption = DATA,
    content: Annotated[bool, typer.Option("--content", help="Show what was said, too.")] = False,
    most: Annotated[int, typer.Option("--last", min=1, help="How many of the newest rows.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Print rows with everything that is known but, unless --content is given, what was said."""
    from multimood.experience.record import us_of  # noqa: PLC0415 - pyarrow is slow to import

    wanted = set(utterances or ())
    with _log(folder, data) as found:
        chosen = (row for row in found.rows(None) if not wanted or row["utterance_id"] in wanted)
        kept = list(chosen) if wanted else _newest(chosen, most)
    if not kept or wanted - {row["utterance_id"] for row in kept}:
        missing = ", ".join(sorted(wanted - {row["utterance_id"] for row in kept})) or "any row"
        typer.secho(f"error: {found.place} does not have {missing}", fg="red", err=True)
    for row in sorted(kept, key=lambda row: us_of(row["scored_at"])):
        shown = row if content else _without_content(row)
        if as_json:
            typer.echo(json.dumps(shown, default=_plain, ensure_ascii=False))
        else:
            _print(shown)
    if len({row["utterance_id"] for row in kept}) < max(1, len(wanted)):
        raise typer.Exit(1)


@dataclass(slots=True)
class _Log:
    source: "Source"
    place: str

    def rows(self, days: tuple[date, date] | None) -> Iterator[dict[str, Any]]:
        from multimood.experience import rows  # noqa: PLC0415

        return rows(self.source, days=days, feedback=True)


@contextmanager
def _log(folder: Path | None, data: Path) -> Iterator[_Log]:
    """Open the log; errors are printed and end the command."""
    from multimood.experience import Bucket, Folder  # noqa: PLC0415

    try:
        if folder is not None:
            yield _Log(Folder(folder), str(folder))
            return
        settings = StoreSettings() if "MULTIMOOD_S3_ENDPOINT" in os.environ else Endpoints.of(data).s3
        with Bucket(settings) as bucket:
            yield _Log(bucket, f"bucket {settings.experience_bucket} on {settings.endpoint}")
    except MultimoodError as error:
        _fail(error)


@dataclass(slots=True)
class _Day:
    name: str
    rows: int = 0
    conversations: set[tuple[str, str]] = field(default_factory=set)
    fit: int = 0
    rewards: list[float] = field(default_factory=list)
    feedback: int = 0

    def as_json(self) -> dict[str, Any]:
        mean = round(sum(self.rewards) / len(self.rewards), 3) if self.rewards else None
        return {
            "day": self.name, "rows": self.rows, "conversations": len(self.conversations), "fit_for_ope": self.fit,
            "mean_reward": mean, "feedback": self.feedback,
        }  # fmt: skip


def _by_day(rows: Iterable[Mapping[str, Any]]) -> dict[str, _Day]:
    days: dict[str, _Day] = {}
    for row in rows:
        when = row["replied_at"] or row["decided_at"]
        name = when.strftime(DAY) if when is not None else NO_DAY
        day = days.setdefault(name, _Day(name))
        day.rows += 1
        day.conversations.add((row["tenant"], row["conversation_id"]))
        day.fit += bool(row["fit_for_ope"])
        day.feedback += len(row["feedback"])
        if row["reward"] is not None:
            day.rewards.append(row["reward"])
    return dict(sorted(days.items()))


def _newest(rows: Iterable[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """The last rows by the time they were scored, without holding the others."""
    from multimood.experience.record import us_of  # noqa: PLC0415

    kept: deque[dict[str, Any]] = deque()
    for row in rows:
        kept.append(row)
        if len(kept) > most:
            kept.remove(min(kept, key=lambda one: us_of(one["scored_at"])))
    return list(kept)


def _without_content(row: Mapping[str, Any]) -> dict[str, Any]:
    from multimood.experience.schema import CONTENT  # noqa: PLC0415

    return {name: value for name, value in row.items() if name not in CONTENT}


def _print(row: Mapping[str, Any]) -> None:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    for name, value in row.items():
        if value is not None and value != []:
            table.add_row(name, escape(_readable(value)))
    console = Console()
    console.print(table)
    console.print()


def _readable(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        if set(value[0]) == {"label", "p"}:
            return ", ".join(f"{item['label']} {item['p']:.3f}" for item in sorted(value, key=lambda item: -item["p"]))
        return "\n".join(_readable(item) for item in value)
    if isinstance(value, dict):
        return "  ".join(f"{name}: {_readable(item)}" for name, item in value.items() if item is not None)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _days(first: datetime | None, last: datetime | None) -> tuple[date, date] | None:
    if first is None and last is None:
        return None
    return (first.date() if first else date.min, last.date() if last else date.max)


def _fail(error: MultimoodError) -> NoReturn:
    typer.secho(f"error: {error}", fg="red", err=True)
    raise typer.Exit(1)
