"""Which log a command reads, and how it tells that it is at work."""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from multimood.errors import MultimoodError, UnavailableError
from multimood.local.endpoints import Endpoints
from multimood.settings import PrivacySettings, StoreSettings

if TYPE_CHECKING:
    from multimood.experience import Bucket, Folder, Pseudonyms, Waiting
    from multimood.experience.reader import Advance
    from multimood.experience.sealing import RowOpener

DATA: Final = Path(".data")
DAY: Final = "%Y-%m-%d"
WHERE: Final = "A folder with the log's Parquet files, one file, or s3://bucket/prefix."

LogArgument = Annotated[str, typer.Argument(metavar="[LOG]", help=f"{WHERE} Default: the experience bucket.")]
LogOption = Annotated[str, typer.Option("--log", "--folder", help=f"{WHERE} Default: the experience bucket.")]
DataOption = Annotated[Path, typer.Option("--data", help="Folder of the local system whose store to read.")]
FromOption = Annotated[datetime | None, typer.Option("--from", formats=[DAY], help="First day (UTC).")]
ToOption = Annotated[datetime | None, typer.Option("--to", "--until", formats=[DAY], help="Last day (UTC).")]
UntilOption = Annotated[datetime | None, typer.Option("--until", formats=[DAY], help="Last day (UTC).")]
"""The same, for a command whose --to is something else."""
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")]
LinesOption = Annotated[bool, typer.Option("--json", help="JSON, one object a line, for programs.")]
WindowOption = Annotated[
    float, typer.Option("--feedback-window", min=0, help="Hours after the reply in which feedback counts.")
]
DefaultRatingOption = Annotated[
    float | None,
    typer.Option("--default-rating", min=0, max=1, help="What a rating counts as that did not come in that time."),
]
WINDOW_H: Final = 24.0
FEEDBACK: Final = "feedback"
"""The column of what the platform told later."""


@dataclass(frozen=True, slots=True)
class OpenLog:
    """A log, where it is, and the store that it may be on."""

    source: "Folder | Bucket"
    place: str
    store: StoreSettings | None
    privacy: PrivacySettings

    def rows(
        self,
        days: tuple[date, date] | None = None,
        waiting: "Waiting | None" = None,
        advance: "Advance | None" = None,
        opens: "RowOpener | None" = None,
        columns: "Collection[str] | None" = None,
    ) -> Iterator[dict[str, Any]]:
        """Every row, with what came later; what was said only if it is opened, or lies there in the clear.

        `columns`: who names those that it needs has what came later only if it names `feedback`, too.
        """
        from multimood.experience import rows  # noqa: PLC0415 - pyarrow is slow to import

        return rows(
            self.source, days=days, feedback=columns is None or FEEDBACK in columns, waiting=waiting, advance=advance,
            opens=opens, columns=columns,
        )  # fmt: skip

    @contextmanager
    def opener(self) -> "Iterator[RowOpener]":
        """Opens what was said, with the master key of the environment, else of the local system."""
        from multimood.experience.sources import keys_of  # noqa: PLC0415 - pyarrow is slow to import

        with keys_of(self.store, self.privacy) as opens:
            yield opens

    def pseudonyms(self) -> "Pseudonyms | None":
        """Those of the services that write to the store; None when no store is known."""
        from multimood.experience import Pseudonyms  # noqa: PLC0415
        from multimood.settings import PseudonymSettings  # noqa: PLC0415

        own = PseudonymSettings()
        if self.store is None and not own.key.get_secret_value():
            return None
        return Pseudonyms.of(own, self.store or StoreSettings())


@contextmanager
def open_log(where: str, data: Path) -> Iterator[OpenLog]:
    """Open the log; errors are printed and end the command with 1."""
    from multimood.experience import opened  # noqa: PLC0415 - pyarrow is slow to import

    try:
        store = _store(data, needed=not where)
        place = where or f"s3://{store.experience_bucket if store else ''}"
        if where:
            with opened(where, store) as source:
                yield OpenLog(source, where, store, privacy_of(data))
        else:
            from multimood.experience import Bucket  # noqa: PLC0415

            assert store is not None
            with Bucket(store) as bucket:
                yield OpenLog(bucket, f"{place} on {store.endpoint}", store, privacy_of(data))
    except MultimoodError as error:
        fail(error)


def store_of(data: Path) -> StoreSettings:
    """The store of MULTIMOOD_S3_ENDPOINT, else that of the local system. Raises UnavailableError."""
    return StoreSettings() if "MULTIMOOD_S3_ENDPOINT" in os.environ else Endpoints.of(data).s3


def _store(data: Path, *, needed: bool) -> StoreSettings | None:
    try:
        return store_of(data)
    except UnavailableError:
        if needed:
            raise
        return None


def privacy_of(data: Path) -> PrivacySettings:
    """The master key of the environment, else that of the system that runs in the data folder, if one does."""
    own = PrivacySettings()
    if own.master_key.get_secret_value() or "MULTIMOOD_S3_ENDPOINT" in os.environ:
        return own
    try:
        return Endpoints.of(data).privacy
    except UnavailableError:
        return own


def waiting_of(window_h: float, rating: float | None) -> "Waiting":
    """By the options of a command."""
    from multimood.experience import Waiting  # noqa: PLC0415

    return Waiting(timedelta(hours=window_h), rating)


def days_of(first: datetime | None, last: datetime | None) -> tuple[date, date] | None:
    """By the options --from and --to."""
    if first is None and last is None:
        return None
    return (first.date() if first else date.min, last.date() if last else date.max)


@contextmanager
def at_work(what: str) -> Iterator["Advance"]:
    """A bar on the error stream while the block runs, where somebody looks at it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)

        def advance(done: int, of: int) -> None:
            bar.update(task, completed=done, total=of)

        yield advance


def fail(error: MultimoodError) -> NoReturn:
    """Say what is wrong, and end."""
    typer.secho(f"error: {error}", fg="red", err=True)
    raise typer.Exit(1)
