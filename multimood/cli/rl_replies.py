"""The reply model in `multimood rl train` and `multimood rl evaluate`: options in, a run or a table out."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, cast, get_args

import typer
from rich.console import Console
from rich.table import Table

from multimood.cli.bars import counting
from multimood.cli.logplace import open_log
from multimood.cli.lookahead import LOOKAHEAD, looked_ahead
from multimood.errors import ConfigurationError
from multimood.local.places import checkout

if TYPE_CHECKING:
    from multimood.experience import Row
    from multimood.learning.replies.run import Log
    from multimood.trust.case import Judge

LEARNERS: Final = ("sft", "dpo", "grpo", "ppo")
KIND: Final = "replies"
KEPT: Final = ".graded"
"""Folder beside the runs: what was graded is not graded again."""

DialoguesOption = Annotated[
    Path | None,
    typer.Option(
        "--dialogues",
        help="Reply models: folder with dialogue/esconv.jsonl and dialogue/mesc.jsonl, in place of a log.",
        show_default=False,
    ),
]
BaseOption = Annotated[
    str | None,
    typer.Option(
        "--base",
        help="Reply models: what is taught. A GGUF file, a folder of transformers, the id of a model on a hub; by "
        "default what --start was made from, else what the responder serves.",
        show_default=False,
    ),
]
StartOption = Annotated[
    Path | None,
    typer.Option("--start", help="Reply models: run whose adapter is taught further, e.g. DPO after SFT."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Reply models: NAME=VALUE of the recipe, repeatable: steps, batch, gather, rate, beta, rank, tokens, "
        "reply_tokens, candidates, temperature, min_gap, least_reward, dialogue_chars, save_every, dtype.",
    ),
]
BesideOption = Annotated[
    list[Path] | None,
    typer.Option("--beside", help="Reply models: runs of the same base that come before it in the table, repeatable."),
]
ContextsOption = Annotated[int, typer.Option("--contexts", min=2, help="Reply models: so many are answered.")]
JudgeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--judge", help="Reply models: a language model that grades, too: llm:URL:MODEL, repeatable. Key: "
        "MULTIMOOD_JUDGE_KEY.",
    ),
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reading:
    """The log that a reply model learns from, as the command's options name it."""

    where: str
    reward: str
    days: Any
    triton: str | None
    data: Path


def is_replies(run: Path) -> bool:
    """Whether a run's folder is a reply model's."""
    try:
        return bool(json.loads((run / "config.json").read_text(encoding="utf-8")).get("kind") == KIND)
    except (OSError, ValueError, AttributeError):
        return False


def train(
    reading: Reading, learner: str, out: Path, *, dialogues: Path | None, base: str | None, start: Path | None,
    given: Sequence[str], seed: int,
) -> dict[str, Any]:  # fmt: skip
    """Train a reply model; gives the metrics."""
    from multimood.learning.replies.recipe import recipe_for  # noqa: PLC0415 - an environment may lack what it needs

    recipe = recipe_for(learner, **settings_of(given))  # what cannot be is said before anything is installed for it
    from multimood.learning.replies.run import Task  # noqa: PLC0415
    from multimood.learning.replies.run import train as training  # noqa: PLC0415

    task: Callable[..., Task] = lambda log: Task(recipe, out, checkout(), log, dialogues, base, start, seed)  # noqa: E731
    if dialogues is not None:
        if reading.where:
            raise ConfigurationError(
                f"LOG {reading.where} and --dialogues: give one of them, it is what is learned from"
            )
        return training(task(None))
    with open_log(reading.where, reading.data) as opened, opened.opener() as opens:
        return training(task(_log(reading, opened, opens, recipe.min_gap)))


def settings_of(given: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE, by the names and types of a recipe. Raises ConfigurationError."""
    from multimood.learning.replies.recipe import Recipe  # noqa: PLC0415

    known = {one.name: one.type for one in fields(Recipe) if one.name != "learner"}
    found: dict[str, Any] = {}
    for one in given:
        name, is_there, value = one.partition("=")
        if name not in known or not is_there:
            raise ConfigurationError(f"--set {one}: wanted NAME=VALUE with one of {', '.join(known)}")
        kind = next((of for of in get_args(known[name]) or (known[name],) if of is not type(None)), str)
        try:
            found[name] = cast("Any", kind)(value)
        except ValueError:
            raise ConfigurationError(f"--set {one}: {value!r} is no {kind.__name__}") from None
    return found


def _log(reading: Reading, opened: Any, opens: Any, min_gap: float) -> "Log":
    from multimood.experience.exports.wishes import Wishes  # noqa: PLC0415 - pyarrow is slow to import
    from multimood.experience.schema import COLUMNS  # noqa: PLC0415
    from multimood.learning.replies.logged import fingerprint_of  # noqa: PLC0415
    from multimood.learning.replies.run import Log  # noqa: PLC0415
    from multimood.trust.ahead import Looking, with_lookahead  # noqa: PLC0415

    if reading.reward not in {"reward", "rating", "relief", LOOKAHEAD}:
        raise ConfigurationError(
            f"--reward {reading.reward}: a reply is learned from reward, rating, relief or lookahead"
        )
    ahead = looked_ahead(opened, Looking(), reading.triton, reading.data) if reading.reward == LOOKAHEAD else None
    # What came later is joined only where it counts: that takes memory with every row.
    columns = None if reading.reward in {"rating", "relief"} else [column.name for column in COLUMNS]

    def rows() -> "Iterator[Row]":
        read = opened.rows(reading.days, opens=opens, columns=columns)
        return read if ahead is None else with_lookahead(read, ahead.found)

    wishes = Wishes(reading.reward, min_gap=min_gap, version="" if ahead is None else ahead.version)  # type: ignore[arg-type]
    return Log(rows, fingerprint_of(opened.rows(reading.days, columns=["row_id", "reward"])), wishes)


def evaluate(
    runs: Sequence[Path], data: Path, *, contexts: int, seed: int, judges: Sequence[str], json_file: Path | None
) -> bool:
    """Grade reply models, print the table; says whether the last of them passed."""
    from multimood.learning.replies.grade import Grading  # noqa: PLC0415 - of the training environment
    from multimood.learning.replies.grade import evaluate as grading  # noqa: PLC0415

    chars = json.loads((runs[-1] / "config.json").read_text(encoding="utf-8")).get("dialogue_chars")
    with counting() as progress:

        def begin(what: str, total: int) -> Callable[[], None]:
            task = progress.add_task(what, total=total)
            return lambda: progress.update(task, advance=1)

        asked = Grading(
            runs,
            data,
            checkout(),
            contexts,
            seed,
            chars,
            [_llm(name) for name in judges],
            kept=runs[-1].parent / KEPT,
            begin=begin,
        )
        found = grading(asked)
    text = json.dumps(found, indent=1, allow_nan=False) + "\n"
    for file in (runs[-1] / "evaluation.json", *((json_file,) if json_file is not None else ())):
        file.write_text(text, encoding="utf-8")
    show(found)
    gate = json.loads((runs[-1] / "gate.json").read_text(encoding="utf-8"))
    for reason in gate["reasons"]:
        typer.echo(f"refused: {reason}")
    typer.echo("passed" if gate["passed"] else "refused")
    return bool(gate["passed"])


def show(found: dict[str, Any]) -> None:
    """Print the table: a measure a row, a model a column, with intervals."""
    from multimood.learning.replies.shown import rows_of  # noqa: PLC0415

    console = Console()
    console = console if console.is_terminal else Console(width=150)
    table = Table("measure", "by", *found["models"])
    for row in rows_of(found):
        table.add_row(*row)
    console.print(table)


def _llm(name: str) -> "Judge":
    """A judge behind an OpenAI-compatible endpoint. Raises ConfigurationError for a name of another form."""
    from multimood.cli.trust import KEY_VARIABLE, LLM  # noqa: PLC0415
    from multimood.generation.openai import endpoint  # noqa: PLC0415 - needs httpx
    from multimood.trust.llm import LLMJudge, Rubric  # noqa: PLC0415

    match = LLM.fullmatch(name)
    if match is None:
        raise ConfigurationError(f"--judge {name}: wanted llm:URL:MODEL with http:// or https://")
    address, model = match.groups()
    return LLMJudge(endpoint(address, os.environ.get(KEY_VARIABLE, "")), model, Rubric.load())
