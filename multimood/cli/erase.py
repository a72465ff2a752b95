"""`multimood erase`: a person's data out of everything, or the media whose time is over."""

import asyncio
import getpass
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from multimood.cli.brokers import kafka_of
from multimood.cli.logplace import DATA, fail, store_of
from multimood.cli.written import place
from multimood.errors import MultimoodError
from multimood.local.endpoints import Endpoints
from multimood.local.store import vacuum
from multimood.settings import KafkaSettings, PrivacySettings, PseudonymSettings, StoreSettings

if TYPE_CHECKING:
    from multimood.erasure.erase import Systems
    from multimood.erasure.media import Swept
    from multimood.erasure.places import Report

WAIT_S: Final = 60.0
SWEEP_S: Final = 300.0
"""For each call of the sweep; nobody waits for it."""


def erase(  # noqa: PLR0917 - each is an option
    tenant: Annotated[str, typer.Option("--tenant", help="Whose platform the person is on.")] = "",
    subject: Annotated[str, typer.Option("--subject", help="The platform's name for the person.")] = "",
    conversation: Annotated[
        str, typer.Option("--conversation", help="Instead: one conversation, where the platform names no persons.")
    ] = "",
    exports: Annotated[
        list[Path] | None, typer.Option("--exports", help="A folder with an export of the log, or with several below.")
    ] = None,
    by: Annotated[str, typer.Option("--by", help="Who asks, for the audit record. Default: who runs this.")] = "",
    wait: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds for services to catch up, and for the broker to compact.")
    ] = WAIT_S,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what there is, and change nothing.")] = False,
    expired: Annotated[
        bool,
        typer.Option(
            "--expired", help="No person: remove the media whose retention class says they are over. Once a day."
        ),
    ] = False,
    as_json: Annotated[
        Path | None, typer.Option("--json", help="Write the report into this file, too; -: print it.", callback=place)
    ] = None,
    data: Annotated[Path, typer.Option("--data", help="Folder of the local system.")] = DATA,
) -> None:
    """Erase a person: key, topics, media, log, exports; an audit record says what was found and what became of it.

    The key goes first: from then on nothing sealed with it can be read. All records of the person's partitions on Kafka
    are purged, once every service has read them. Takes a minute, since services may hold a key for 30 seconds.

    Exit code 0: all of it is gone (--dry-run: was looked at). 1: a place could not be reached, or something is left, as
    the report says: run it again, it does what is still to be done. With --expired the same codes, no person, and no
    services to wait for; --json says how many media were over, how many are removed, and what was wrong. Works on
    MULTIMOOD_S3_ENDPOINT and MULTIMOOD_KAFKA_BROKERS with MULTIMOOD_PSEUDONYM_KEY as the services have it, else on the
    local system. What people said is never printed.
    """
    is_local = "MULTIMOOD_S3_ENDPOINT" not in os.environ
    if not expired and (not tenant or bool(subject) == bool(conversation)):
        raise typer.BadParameter("name --tenant, and either --subject or --conversation (or give --expired)")
    finished = True
    try:
        s3 = store_of(data)
        if expired:
            swept = _swept(s3, PrivacySettings(), tenant, dry_run=dry_run)
            _tell(swept, as_json)
            finished = not swept.fault
        else:
            kafka = Endpoints.of(data).kafka if is_local else kafka_of()
            whose = (tenant, subject, conversation)
            report = _erased(whose, _systems(kafka, s3, exports or ()), by or getpass.getuser(), wait, dry_run=dry_run)
            _show(report, as_json)
            finished = report.reached if dry_run else report.finished
        if is_local and not dry_run:
            vacuum(Endpoints.of(data).ports)
    except MultimoodError as error:
        fail(error)
    raise typer.Exit(0 if finished else 1)


def _systems(kafka: KafkaSettings, s3: StoreSettings, exports: Sequence[Path]) -> "Systems":
    from multimood.erasure.erase import Systems  # noqa: PLC0415 - pyarrow is slow to import
    from multimood.privacy.pseudonyms import Pseudonyms  # noqa: PLC0415

    return Systems(kafka, s3, Pseudonyms.of(PseudonymSettings(), s3), exports)


def _erased(whose: tuple[str, str, str], systems: "Systems", by: str, wait_s: float, *, dry_run: bool) -> "Report":
    from multimood.erasure.erase import Erasing, Person  # noqa: PLC0415

    with Console(stderr=True).status("looking") as status:
        erasing = Erasing(Person(*whose), systems, by=by, wait_s=wait_s, tell=status.update)
        return erasing.look() if dry_run else erasing.run()


def _show(report: "Report", as_json: Path | None) -> None:
    text = json.dumps(report.as_json(), indent=1)
    if as_json is not None and str(as_json) == "-":
        typer.echo(text)
        return
    if as_json is not None:
        as_json.write_text(text)
    table = Table("place", "found", "removed", "", box=None, pad_edge=False)
    for name, outcome in report.places.items():
        remarks = [f"[red]{escape(outcome.fault)}[/]"] if outcome.fault else []
        remarks += [f"[yellow]left: {escape(one)}[/]" for one in outcome.left] + [escape(one) for one in outcome.notes]
        table.add_row(name, _counts(outcome.found), _counts(outcome.removed), "\n".join(remarks))
    console = Console()
    console.print(table)
    word = "erased" if report.finished else "NOT FINISHED: run it again"
    word = "this is what there is, nothing was changed" if report.dry_run else word
    console.print(f"{report.tenant}/{report.subject}: {word}", highlight=False, soft_wrap=True)


def _counts(counts: dict[str, int]) -> str:
    return "\n".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items())


def _swept(s3: StoreSettings, privacy: PrivacySettings, tenant: str, *, dry_run: bool) -> "Swept":
    from multimood.erasure.media import sweep  # noqa: PLC0415
    from multimood.store import Store  # noqa: PLC0415

    async def swept() -> "Swept":
        store = Store(s3, deadline_s=SWEEP_S)
        try:
            return await sweep(store, privacy.retention, tenant=tenant, dry_run=dry_run)
        finally:
            await store.close()

    return asyncio.run(swept())


def _tell(swept: "Swept", as_json: Path | None) -> None:
    text = json.dumps(asdict(swept))
    if as_json is not None and str(as_json) == "-":
        typer.echo(text)
        return
    if as_json is not None:
        as_json.write_text(text)
    typer.echo(f"{swept.over} media are over" if swept.dry_run else f"{swept.removed} media removed")
    if swept.fault:
        typer.secho(f"error: {swept.fault}: run it again", fg="red", err=True)
