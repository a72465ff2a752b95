"""`multimood dlq`: the records that nobody could process, and the way back for them."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import DecodeError
from rich.console import Console
from rich.table import Table

from multimood.bus.deadletters import SUFFIX, DeadLetters
from multimood.bus.letters import Letter
from multimood.cli.brokers import kafka_of
from multimood.errors import ConfigurationError, MultimoodError, UnavailableError
from multimood.topics import BY_NAME

app = typer.Typer(no_args_is_help=True)

TopicOption = Annotated[str | None, typer.Option("--topic", help="Only letters of this topic.")]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="Only letters with this reason, see `ls`.")]
ServiceOption = Annotated[str | None, typer.Option("--service", help="Only letters of this service.")]
AllOption = Annotated[bool, typer.Option("--all", help="Every letter that the other options leave.")]
Places = Annotated[list[str] | None, typer.Argument(help="Letters by their place, as `show` prints it.")]


@app.command("ls")
def ls(topic: TopicOption = None) -> None:
    """Count the letters by topic, service and reason."""
    with _opened() as dead:
        letters = dead.letters(topic)
    groups: defaultdict[tuple[str, str, str], list[tuple[Letter, bool]]] = defaultdict(list)
    for letter, waits in [(x, True) for x in letters.waiting] + [(x, False) for x in letters.replayed]:
        groups[letter.place.topic.removesuffix(SUFFIX), letter.service, letter.reason].append((letter, waits))
    table = Table("topic", "service", "reason", "waiting", "replayed", "oldest", "newest")
    for group, members in sorted(groups.items()):
        times = [letter.time_us for letter, _ in members]
        waiting = sum(waits for _, waits in members)
        table.add_row(*group, str(waiting), str(len(members) - waiting), _time(min(times)), _time(max(times)))
    Console().print(table if groups else "no dead letters")


@app.command("show")
def show(  # noqa: PLR0917 - each is an option
    places: Places = None,
    topic: TopicOption = None,
    reason: ReasonOption = None,
    service: ServiceOption = None,
    most: Annotated[int, typer.Option("--most", min=1, help="At most so many, the newest.")] = 20,
    content: Annotated[
        bool, typer.Option("--content", help="Also what the record holds. This may be what a person said.")
    ] = False,
) -> None:
    """Print letters, one JSON object a line, oldest first. Their content only when asked."""
    with _opened() as dead:
        letters = dead.letters(topic)
        waiting = {str(letter.place) for letter in letters.waiting}
        found = _chosen([*letters.replayed, *letters.waiting], places, reason, service)
        for letter in sorted(found, key=lambda letter: letter.time_us)[-most:]:
            line = {
                "letter": str(letter.place), "origin": str(letter.origin), "time": _time(letter.time_us),
                "service": letter.service, "reason": letter.reason, "error": letter.error,
                "attempts": letter.attempts, "event_id": letter.event_id, "utterance_id": letter.utterance_id,
                "replayed": str(letter.place) not in waiting,
            }  # fmt: skip
            if content:
                line["content"] = _content(letter, dead.record_of(letter).value)
            typer.echo(json.dumps(line, ensure_ascii=False))


@app.command("replay")
def replay(  # noqa: PLR0917 - each is an option
    places: Places = None,
    topic: TopicOption = None,
    reason: ReasonOption = None,
    service: ServiceOption = None,
    everything: AllOption = False,
    again: Annotated[bool, typer.Option("--again", help="Also letters that were replayed before.")] = False,
) -> None:
    """Put letters back into the topic they came from: the same bytes under the same id. Each once, unless --again."""
    _check_named(places, everything)
    with _opened() as dead:
        letters = dead.letters(topic)
        chosen = _chosen([*letters.replayed, *letters.waiting], places, reason, service)
        due = [letter for letter in chosen if again or letter in letters.waiting]
        replayed = sum(_replayed(dead, letter) for letter in sorted(due, key=lambda letter: letter.time_us))
    before = len(chosen) - len(due)
    typer.echo(f"{replayed} replayed" + (f", {before} were before (--again replays them too)" if before else ""))
    if replayed < len(due):
        raise typer.Exit(1)


@app.command("drop")
def drop(  # noqa: PLR0917 - each is an option
    places: Places = None,
    topic: TopicOption = None,
    reason: ReasonOption = None,
    service: ServiceOption = None,
    everything: AllOption = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Give letters up for good: `ls` and `show` list them no more, `replay` passes them by."""
    _check_named(places, everything)
    with _opened() as dead:
        letters = dead.letters(topic)
        chosen = _chosen([*letters.replayed, *letters.waiting], places, reason, service)
        waiting = sum(letter in letters.waiting for letter in chosen)
        if chosen and not yes:
            typer.confirm(f"drop {len(chosen)} letters, {waiting} of them never replayed?", abort=True)
        for letter in chosen:
            dead.drop(letter)
    typer.echo(f"{len(chosen)} dropped")


def _check_named(places: list[str] | None, everything: bool) -> None:
    if not places and not everything:
        typer.echo("error: name letters (see `multimood dlq show`), or give --all", err=True)
        raise typer.Exit(2)


def _replayed(dead: DeadLetters, letter: Letter) -> bool:
    try:
        typer.echo(f"{letter.place} -> {dead.replay(letter)}")
    except UnavailableError:
        raise
    except MultimoodError as error:  # of this letter: the others can still go back
        typer.echo(f"error: {error}", err=True)
        return False
    return True


@contextmanager
def _opened() -> Iterator[DeadLetters]:
    try:
        with DeadLetters(kafka_of()) as dead:
            yield dead
    except MultimoodError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None


def _chosen(
    letters: Sequence[Letter], places: list[str] | None, reason: str | None, service: str | None
) -> list[Letter]:
    """Those that all options leave. Raises ConfigurationError for a place where there is no letter."""
    tests: list[Callable[[Letter], bool]] = [
        lambda letter: not places or str(letter.place) in places,
        lambda letter: reason is None or letter.reason == reason,
        lambda letter: service is None or letter.service == service,
    ]
    found = [letter for letter in letters if all(test(letter) for test in tests)]
    unknown = set(places or ()) - {str(letter.place) for letter in found}
    if unknown:
        raise ConfigurationError(f"there is no such letter: {', '.join(sorted(unknown))}")
    return found


def _time(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat(timespec="seconds") if time_us > 0 else "?"


def _content(letter: Letter, value: bytes | None) -> Any:
    if value is None:
        return None
    message = BY_NAME[letter.place.topic.removesuffix(SUFFIX)].message()
    try:
        message.ParseFromString(value)
    except DecodeError:
        return {"hex": value.hex()}
    return json.loads(MessageToJson(message, preserving_proto_field_name=True))
