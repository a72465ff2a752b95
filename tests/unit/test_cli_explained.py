"""What a person sees of the command line when something is wrong: one line, never a traceback, never a key."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from multimood.cli import app

pytestmark = pytest.mark.unit


def run(*words: str, **env: str) -> tuple[int, str]:
    outcome = CliRunner().invoke(app, words, env=env)
    assert outcome.exception is None or isinstance(outcome.exception, SystemExit), outcome.exception
    return outcome.exit_code, " ".join(outcome.output.split())


@pytest.mark.parametrize(
    ("env", "complaint"),
    [
        ({"MULTIMOOD_S3_SECURE": "perhaps"}, "error: MULTIMOOD_S3_SECURE: Input should be a valid boolean"),
        ({"MULTIMOOD_S3_ENDPOINT": "http://127.0.0.1:1"}, "error: MULTIMOOD_S3_ENDPOINT: String should match pattern"),
        ({"MULTIMOOD_MASTER_KEY": "hush"}, "error: MULTIMOOD_MASTER_KEY: Value error, MASTER_KEY has fewer than 16"),
    ],
)
def test_a_setting_that_cannot_work_is_named_without_its_value(env: dict[str, str], complaint: str) -> None:
    code, said = run("keys", "rewrap", **{"MULTIMOOD_S3_ENDPOINT": "127.0.0.1:1", **env})
    assert (code, complaint in said) == (1, True), said
    assert "hush" not in said


def test_a_place_that_cannot_be_written_is_named_before_the_work(tmp_path: Path) -> None:
    data = tmp_path / "no such file"  # would be complained about next
    (tmp_path / "locked").mkdir(mode=0o500)
    for wrong, why in (
        (tmp_path / "none/x.json", "is no folder"),
        (tmp_path, "it is a folder"),
        (tmp_path / "locked/x.json", "it is not allowed"),
    ):
        if why == "it is not allowed" and os.access(wrong.parent, os.W_OK):
            continue  # whoever runs this may do everything
        code, said = run("eval", "crisis", "--data", str(data), "--json", str(wrong))
        assert code == 1
        assert f"error: {wrong} cannot be written" in said
        assert why in said
        assert "no such file" not in said


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, said = run("simulate", "--log", str(tmp_path / "file"))
    assert code == 1
    assert said.startswith(f"error: {tmp_path}/file cannot be used (Not a directory): name another place")


def commands() -> Iterator[list[str]]:
    def below(command: object, name: list[str]) -> Iterator[list[str]]:
        yield name
        for word, one in getattr(command, "commands", {}).items():
            yield from below(one, [*name, word])

    return below(get_command(app), [])


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_command_explains_itself(words: list[str]) -> None:
    code, said = run(*words, "--help")
    assert code == 0
    about = said.partition("Usage: ")[2].partition("─")[0]
    assert len(about.split()) > 8, about


BROKEN_OFF = 130
MAIN = "from multimood.cli import app; app()"


@pytest.mark.slow
def test_a_reader_that_has_enough_ends_it_quietly(tmp_path: Path) -> None:
    made = subprocess.Popen(
        [sys.executable, "-c", MAIN, "eval", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert made.stdout is not None
    assert made.stderr is not None
    made.stdout.close()
    said = made.stderr.read()
    made.stderr.close()
    made.wait(60)
    assert b"Traceback" not in said
    assert b"Broken pipe" not in said


@pytest.mark.slow
def test_somebody_breaks_it_off(tmp_path: Path) -> None:
    words = ["simulate", "--conversations", "500000", "--log", str(tmp_path / "log")]
    # Who starts these tests in the background of a shell ignores Ctrl-C, and so would the command.
    heard = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler); {MAIN}"
    with (tmp_path / "said").open("wb") as said:
        made = subprocess.Popen([sys.executable, "-c", heard, *words], stdout=said, stderr=said)
        until = time.monotonic() + 60
        while not (tmp_path / "log").exists():
            assert made.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        made.send_signal(signal.SIGINT)
        assert made.wait(60) == BROKEN_OFF
    assert "Traceback" not in (tmp_path / "said").read_text()
