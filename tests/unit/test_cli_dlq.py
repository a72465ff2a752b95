"""`multimood dlq drop` and `show` around letters in memory: asked before, counted after, no content unasked."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from bus_fakes import CANARY, context
from typer.testing import CliRunner, Result

from multimood import topics
from multimood.bus.letters import DROPPED, RECEIPT, Letter, dead_letter_headers, receipt_of, sort_letters
from multimood.cli import app, dlq
from multimood.contracts.v1 import events_pb2 as pb

pytestmark = pytest.mark.unit

TOPIC = topics.UTTERANCE
VALUE = pb.Utterance(context=context(), text=CANARY).SerializeToString()


class Dead:
    """A dead-letter topic of one partition."""

    def __init__(self) -> None:
        self.records: list[Any] = []
        for number, reason in enumerate(("bad", "bad", "worse")):
            fault = {
                "reason": reason, "service": "s", "topic": TOPIC.name, "partition": "0", "offset": str(number),
                "time_us": str(1_700_000_000_000_000 + number),
            }  # fmt: skip
            self.write(VALUE, dead_letter_headers([], fault))

    def write(self, value: bytes, headers: Any) -> None:
        self.records.append(
            SimpleNamespace(
                topic=TOPIC.dead_letters, partition=0, offset=len(self.records), key=b"t/c", value=value,
                headers=headers,
            )
        )  # fmt: skip

    def letters(self, _topic: str | None = None) -> Any:
        return sort_letters(self.records)

    def record_of(self, letter: Letter) -> Any:
        return self.records[letter.place.offset]

    def drop(self, letter: Letter) -> None:
        self.write(b"", receipt_of(letter, DROPPED))

    def replay(self, letter: Letter) -> Any:
        self.write(b"", receipt_of(letter, RECEIPT))
        return letter.origin


@pytest.fixture
def dead(monkeypatch: pytest.MonkeyPatch) -> Dead:
    letters = Dead()

    @contextmanager
    def opened(_settings: Any) -> Iterator[Dead]:
        yield letters

    monkeypatch.setattr(dlq, "DeadLetters", opened)
    return letters


def run(*arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(app, ["dlq", *arguments], input=answer, env={"COLUMNS": "200"})


def test_nothing_is_dropped_unless_it_is_confirmed(dead: Dead) -> None:
    result = run("drop", "--all", "--reason", "bad", answer="n\n")
    assert (result.exit_code, len(dead.records)) == (1, 3)
    assert "drop 2 letters, 2 of them never replayed?" in result.output
    assert "2 dropped" in run("drop", "--all", "--reason", "bad", answer="y\n").output
    assert [letter.reason for letter in dead.letters().waiting] == ["worse"]


def test_what_was_dropped_is_listed_and_replayed_no_more(dead: Dead) -> None:
    place = f"{TOPIC.dead_letters}/0/0"
    assert "1 dropped" in run("drop", place, "--yes").output
    assert "bad" in run("ls").output, "the other one"
    assert [line.count(place) for line in run("show").output.splitlines()] == [0, 0]
    assert "2 replayed" in run("replay", "--all").output
    assert "0 replayed, 2 were before" in run("replay", "--all").output
    assert "2 replayed" in run("replay", "--all", "--again").output
    assert "no such letter" in run("replay", place, "--again").output
    assert "2 letters, 0 of them never replayed" in run("drop", "--all", answer="y\n").output
    assert "no dead letters" in run("ls").output
    assert run("show").output == ""


def test_what_is_dropped_has_to_be_named_and_nothing_is_asked_about_nothing(dead: Dead) -> None:
    assert run("drop", "--yes").exit_code == 2
    assert run("drop", "--all", "--reason", "unheard of").output == "0 dropped\n"
    assert len(dead.records) == 3


@pytest.mark.parametrize("arguments", [("ls",), ("show",), ("replay", "--all"), ("drop", "--all", "--yes")])
def test_no_command_prints_what_was_said(dead: Dead, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.exit_code, CANARY in result.output) == (0, False), result.output


def test_content_is_printed_only_when_asked_for(dead: Dead) -> None:
    assert run("show", "--content").output.count(CANARY) == 3
