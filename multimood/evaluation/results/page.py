"""The whole page. Pure: the same files give the same bytes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from multimood.evaluation.results import corpora, models
from multimood.evaluation.results.forms import Goal, Measured
from multimood.evaluation.results.goals import Outcome, judge
from multimood.evaluation.results.markdown import NAMES, percent, span, table
from multimood.evaluation.results.reading import Runs
from multimood.evaluation.results.shipped import Shipped

MISSING: Final = "Not measured yet."
_HEAD: Final = """\
# Results

Written by `multimood results` from the files in [runs]({runs}); `make lint` fails when it is not what they give: change
those, not this. What the figures are, and the protocols: [evaluation.md]({checkout}/docs/evaluation.md). Figures are in
percent, in brackets the 95 % interval of a bootstrap over whole dialogues or speakers; *majority* is always answering
the most frequent label of the very rows that are scored."""
_GOALS: Final = """\
Published figures are of the corpora's test parts and of their authors' protocols; the part that was measured here is
named. Compare a figure with its own majority first."""
_TRIED: Final = """\
Each figure stands beside that of what was kept, on the same rows. They were measured once, when it was decided: the
code of what was dropped is not kept, so no command repeats them. They say why something is not here, and no more; what
is claimed of the system stands above, with its commands."""


@dataclass(frozen=True, slots=True)
class Links:
    """Where the page's links lead, from the folder that it lies in."""

    checkout: str = ".."
    runs: str = "runs"


def page(runs: Runs, shipped: Shipped, known: Sequence[str], links: Links) -> str:
    """The page; `known` are the corpora that could be measured."""
    return "\n\n".join(_blocks(runs, shipped, known, links)) + "\n"


def _blocks(runs: Runs, shipped: Shipped, known: Sequence[str], links: Links) -> Iterator[str]:
    yield _HEAD.format(runs=links.runs, checkout=links.checkout)
    yield "## Goals"
    yield from _goals(runs)
    yield "## Corpora"
    yield from corpora.sections(runs.measured, known, shipped)
    yield "## Models"
    yield models.shipped_table(shipped, links.checkout)
    yield from models.trainings(runs.trained)
    if not runs.trained:
        yield "No training's run was taken yet (`multimood results --take`); what trainings measured is in the cards."
    yield "## Latency and memory"
    yield from (MISSING,) if runs.served is None else models.timings(runs.served, shipped)
    yield "## Tried and dropped"
    yield from _tried(runs)
    yield "## Once more"
    yield _commands(runs)


def _goals(runs: Runs) -> Iterator[str]:
    if not runs.goals:
        yield "None are written down (goals.toml)."
        return
    yield _GOALS
    yield table(
        ("of what", "figure", "part, n", ">majority", ">here", "goal", "", "published"),
        (_goal(goal, judge(goal, runs.measured)) for goal in runs.goals),
    )
    if notes := [f"- {goal.about}: {goal.note}" for goal in runs.goals if goal.note]:
        yield "\n".join(notes)


def _tried(runs: Runs) -> Iterator[str]:
    if not runs.tried:
        yield "Nothing is written down yet (tried.toml)."
        return
    yield _TRIED
    yield table(
        ("part", "what was tried", "figure", "beside", "why it was dropped"),
        ((one.part, one.what, one.figure, one.beside, one.why) for one in runs.tried),
    )


def _goal(goal: Goal, found: Outcome | str) -> list[str]:
    published = ", ".join(
        f"{one.who} {one.value}" + (f" ({one.source})" if one.source else "") for one in goal.published
    )
    name = NAMES[goal.metric]
    if isinstance(found, str):
        return [goal.about, name, found, "-", "-", _wanted(goal), "", published]
    mask = "" if found.mask == "full" else f" `{found.mask}`"
    here = percent(found.value) + (f" ({span(found.interval)})" if found.interval else "")
    bound = _wanted(goal) + (f": {percent(found.bound)}, of {found.against}" if found.against else "")
    verdict = "met" if found.met else "**missed**"
    return [
        goal.about, name + mask, f"{found.split}, {found.n}", percent(found.majority), here, bound, verdict, published,
    ]  # fmt: skip


def _wanted(goal: Goal) -> str:
    if goal.above is not None:
        return f"> {goal.above:g}"
    if goal.over_best_single is not None:
        return f"≥ best single + {goal.over_best_single:g}"
    return f"≥ `{goal.mask}` - {goal.worst_within:g}"


def _commands(runs: Runs) -> str:
    lines = [
        "make setup",
        "make results DATA=folder SPLIT=val   # all that is there, and this page; else one by one:",
        *(_measuring(found) for found in runs.measured.values()),
        *(f".venv-train/bin/multimood train {name} --data folder" for name in sorted(runs.trained)),
        ".venv/bin/multimood results --take .tools/runs",
        ".venv/bin/python -m benchmarks.models --json docs/runs/models.json",
        ".venv/bin/multimood results",
    ]
    return "```sh\n" + "\n".join(lines) + "\n```"


def _measuring(found: Measured) -> str:
    replies = f" --replies {found.replies['n']}" if "n" in found.replies else ""
    target = f"docs/runs/eval/{found.corpus}.json"
    return f".venv/bin/multimood eval {found.corpus} --data folder --split {found.split}{replies} --json {target}"
