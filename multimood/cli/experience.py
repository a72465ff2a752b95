"""`multimood experience`: what is in the log, whether it is sound, and how it gets into other tools.

What people said is shown only on request.
"""

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from multimood.cli.logplace import (
    DATA,
    DAY,
    WINDOW_H,
    DataOption,
    DefaultRatingOption,
    FromOption,
    JsonOption,
    LinesOption,
    LogArgument,
    LogOption,
    ToOption,
    UntilOption,
    WindowOption,
    at_work,
    days_of,
    open_log,
    waiting_of,
)
from multimood.cli.lookahead import LOOKAHEAD, TritonOption, looked_ahead, values
from multimood.errors import NotFoundError

if TYPE_CHECKING:
    from multimood.experience import Pseudonyms
    from multimood.experience.check import Report
    from multimood.experience.exports import Kind
    from multimood.experience.exports.wishes import PairSource, Target
    from multimood.experience.schema import Row

NO_DAY: Final = "no day"
KINDS: Final = ("trl-dpo", "trl-kto", "minari", "obp", "hf")
TARGETS: Final = ("reward", "rating", "relief", LOOKAHEAD)
PAIRS: Final = ("dialogues", "attempts", "refused")

app = typer.Typer(no_args_is_help=True, help="The experience log: rows a researcher learns from.")


@app.command("ls")
def ls(  # noqa: PLR0917 - each is an option
    log: LogArgument = "",
    folder: LogOption = "",
    data: DataOption = DATA,
    first: FromOption = None,
    last: ToOption = None,
    as_json: LinesOption = False,
) -> None:
    """Count the rows, day by day. Reads the store of MULTIMOOD_S3_ENDPOINT, else that of the local system."""
    with open_log(log or folder, data) as found, at_work("reading") as advance:
        days = _by_day(found.rows(days_of(first, last), advance=advance))
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
        list[str] | None,
        typer.Argument(help="Utterance ids, as the platform or as the log has them, or row ids; else the newest rows."),
    ] = None,
    log: LogOption = "",
    data: DataOption = DATA,
    content: Annotated[bool, typer.Option("--content", help="Show what was said, too.")] = False,
    most: Annotated[int, typer.Option("--last", min=1, help="How many of the newest rows.")] = 1,
    as_json: LinesOption = False,
) -> None:
    """Print rows with everything that is known but, unless --content is given, what was said."""
    from multimood.experience.record import us_of  # noqa: PLC0415 - pyarrow is slow to import

    wanted = list(dict.fromkeys(utterances or ()))
    with open_log(log, data) as found, found.opener() as opens:
        names = _Names(found.pseudonyms())
        if wanted:
            kept = [row for row in found.rows() if any(names.has(row, one) for one in wanted)]
        else:
            kept = _newest(found.rows(), most)
        kept = [opens(row) for row in kept] if content else kept
        absent = [one for one in wanted if not any(names.has(row, one) for row in kept)]
    if absent or not kept:
        typer.secho(f"error: {found.place} does not have {', '.join(absent) or 'any row'}", fg="red", err=True)
    for row in sorted(kept, key=lambda row: us_of(row["scored_at"])):
        shown = _unsealed(row) if content else _without_content(row)
        if as_json:
            typer.echo(json.dumps(shown, default=_plain, ensure_ascii=False))
        else:
            _print(shown)
    if absent or not kept:
        raise typer.Exit(1)


@app.command("check")
def check(  # noqa: PLR0917 - each is an option
    log: LogArgument = "",
    folder: LogOption = "",
    data: DataOption = DATA,
    first: FromOption = None,
    last: ToOption = None,
    allow: Annotated[
        list[str] | None, typer.Option("--allow", help="A kind of finding that is no fault here (see the report).")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Verify a log: sums, supports, propensities, gaps, duplicates, schema, feedback; exit code 1 if anything is wrong.

    A gap may be a turn without consent: then say --allow gap. Ids only, never what was said.
    """
    from multimood.experience.check import check as verify  # noqa: PLC0415 - pyarrow is slow to import
    from multimood.experience.findings import WRONG  # noqa: PLC0415

    allowed = tuple(allow or ())
    if unknown := sorted(set(allowed) - set(WRONG)):
        raise typer.BadParameter(f"{unknown[0]!r} is no kind of finding; there are {', '.join(WRONG)}")
    with open_log(log or folder, data) as found, at_work("checking") as advance:
        report = verify(found.source, days=days_of(first, last), advance=advance)
        if not report.objects:
            raise NotFoundError(f"{found.place} holds no Parquet files: is the log somewhere else?")
    if as_json:
        typer.echo(json.dumps({**report.as_json(), "sound": report.is_sound(allowed)}, indent=1))
    else:
        _print_report(report, allowed, found.place)
    raise typer.Exit(0 if report.is_sound(allowed) else 1)


@app.command("export")
def export_command(  # noqa: PLR0917 - each is an option
    to: Annotated[str, typer.Option("--to", help=f"Form: {', '.join(KINDS)}.")],
    out: Annotated[Path, typer.Option("--out", help="A folder that is new or empty.")],
    log: LogArgument = "",
    folder: LogOption = "",
    data: DataOption = DATA,
    first: FromOption = None,
    last: UntilOption = None,
    target: Annotated[
        str,
        typer.Option(
            "--reward",
            help="What counts: reward (of the trust score), rating, relief (fall of intensity), lookahead (values that "
            "the person shows in their next turns: see `multimood experience values`).",
        ),
    ] = "reward",
    threshold: Annotated[float, typer.Option("--threshold", help="trl-kto: desirable from this reward on.")] = 0.5,
    min_gap: Annotated[float, typer.Option("--min-gap", min=0, help="trl-dpo: least distance of rewards.")] = 0.1,
    pairs: Annotated[
        str,
        typer.Option(
            "--pairs",
            help="trl-dpo: two replies to a dialogue (dialogues), two candidates for one reply (attempts), a reply and "
            "what was refused (refused).",
        ),
    ] = ",".join(PAIRS),
    content: Annotated[bool, typer.Option("--content", help="hf: with what was said.")] = False,
    window_h: WindowOption = WINDOW_H,
    default_rating: DefaultRatingOption = None,
    triton: TritonOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the log for another library: preference pairs or examples, episodes, bandit feedback, a dataset.

    trl-dpo, trl-kto: what TRL's trainers take; with what was said. minari: conversations as episodes (needs the
    research environment). obp: an npz, opened by multimood.experience.exports.obp.load_bandit_feedback. hf: Parquet and
    a card. Reads the store of MULTIMOOD_S3_ENDPOINT, else that of the local system, unless LOG names another place.
    """
    from multimood.experience.exports import Wishes, export  # noqa: PLC0415 - pyarrow is slow to import
    from multimood.trust.ahead import Looking, with_lookahead  # noqa: PLC0415

    if to not in KINDS:
        raise typer.BadParameter(f"{to!r} is no form; there are {', '.join(KINDS)}", param_hint="--to")
    if target not in TARGETS:
        raise typer.BadParameter(f"{target!r} is no reward; there are {', '.join(TARGETS)}", param_hint="--reward")
    wishes = Wishes(cast("Target", target), threshold, min_gap, _pairs(pairs), content=content)
    with (
        open_log(log or folder, data) as found,
        found.opener() as opener,
        at_work(f"exporting to {to}") as advance,
    ):
        days, waiting = days_of(first, last), waiting_of(window_h, default_rating)
        opens = opener if content or to.startswith("trl-") else None
        ahead = None
        if target == LOOKAHEAD:
            ahead = looked_ahead(found, Looking(), triton, data, advance=advance)
            wishes = replace(wishes, version=ahead.version)

        def rows() -> "Iterator[Row]":
            read = found.rows(days, waiting, advance, opens)
            return read if ahead is None else with_lookahead(read, ahead.found)

        done = export(rows, cast("Kind", to), out, wishes)
    if as_json:
        typer.echo(json.dumps(done.as_json() | {"reward": wishes.told}))
        return
    typer.echo(f"{out}: {done.items} of {done.rows} rows")
    for source, count in sorted(done.sources.items()):
        typer.echo(f"  pairs of {source}: {count}")
    for reason, count in sorted(done.left_out.items()):
        typer.echo(f"  left out, {reason}: {count}")


app.command("values")(values)


def _pairs(named: str) -> "tuple[PairSource, ...]":
    found = tuple(dict.fromkeys(one.strip() for one in named.split(",") if one.strip()))
    if not found:
        raise typer.BadParameter(f"names nothing that makes pairs; there are {', '.join(PAIRS)}", param_hint="--pairs")
    if unknown := sorted(set(found) - set(PAIRS)):
        raise typer.BadParameter(f"{unknown[0]!r} makes no pairs; there are {', '.join(PAIRS)}", param_hint="--pairs")
    return cast("tuple[PairSource, ...]", found)


@app.command("compact")
def compact_command(
    log: LogArgument = "",
    folder: LogOption = "",
    data: DataOption = DATA,
    after_days: Annotated[
        int | None,
        typer.Option("--after-days", min=1, help="Age of a day in days; fewer only while no reward service runs."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Put the small objects of old days into large ones. Readers may go on; broken off, it is simply done again.

    By default days that are out of Kafka's retention, since the reward service can not write into those any more.
    """
    from multimood.experience.compact import AFTER_DAYS, compact  # noqa: PLC0415 - pyarrow is slow to import

    with open_log(log or folder, data) as found, at_work("compacting") as advance:
        done = compact(found.source, after_days=after_days or AFTER_DAYS, advance=advance)
    if as_json:
        typer.echo(json.dumps({"days": done.days, "small": done.small, "large": done.large, "kept": done.kept}))
    else:
        typer.echo(f"{done.days} days: {done.small} small objects are now {done.large} large ones; {done.kept} stay")


@dataclass(frozen=True, slots=True)
class _Names:
    """Rows by the names that they can be asked for: row id, pseudonym, and the platform's id where the key is known."""

    pseudonyms: "Pseudonyms | None"

    def has(self, row: Mapping[str, Any], name: str) -> bool:
        if name in {row["row_id"], row["utterance_id"]}:
            return True
        return self.pseudonyms is not None and row["utterance_id"] == self.pseudonyms.utterance(row["tenant"], name)


def _print_report(report: "Report", allowed: tuple[str, ...], place: str) -> None:
    from multimood.experience.findings import NOTED, WRONG  # noqa: PLC0415

    console = Console()
    console.print(
        f"{escape(place)}: {report.rows} rows in {report.objects} objects, {report.fit} fit for evaluation, "
        f"{report.feedback} feedback",
        highlight=False,
    )
    table = Table("", "kind", "count", "what", box=None, pad_edge=False)
    for kinds, style in ((WRONG, "red"), (NOTED, "yellow")):
        for kind, what in kinds.items():
            if count := report.counts[kind]:
                word = "allowed" if kind in allowed else "wrong" if kinds is WRONG else "note"
                table.add_row(f"[{style}]{word}[/]", kind, str(count), f"{what}, e.g. {escape(report.named[kind][0])}")
    console.print(table if table.row_count else "nothing to remark", highlight=False)


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
    from multimood.experience.schema import CONTENT, SEALED  # noqa: PLC0415

    return {name: value for name, value in row.items() if name not in {*CONTENT, *SEALED}}


def _unsealed(row: Mapping[str, Any]) -> dict[str, Any]:
    from multimood.experience.schema import SEALED  # noqa: PLC0415

    return {name: value for name, value in row.items() if name not in SEALED}


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
