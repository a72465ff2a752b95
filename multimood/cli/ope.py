"""`multimood ope`: what another policy would have earned, from the experience log alone."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import Progress

from multimood.cli.bars import counting
from multimood.cli.explained import explained
from multimood.cli.logplace import DATA, open_log
from multimood.cli.lookahead import LOOKAHEAD, TritonOption, looked_ahead
from multimood.cli.written import place
from multimood.errors import ConfigurationError, InvalidEventError, NotFoundError

if TYPE_CHECKING:
    from multimood.cli.logplace import OpenLog
    from multimood.cli.lookahead import LookedAhead
    from multimood.ope import Policy, Question, Reading
    from multimood.ope.slicing import Part

REMEDY: Final = "off-policy evaluation needs its own packages: pip install 'multimood[ope]' (in a checkout: make setup)"
REFUSED: Final = 3
WIDTH: Final = 150

PathArgument = Annotated[
    str,
    typer.Argument(
        metavar="PATH",
        help="A folder with the log's Parquet files, one file, or s3://bucket/prefix (the store of "
        "MULTIMOOD_S3_ENDPOINT, else that of the local system). With a prefix, the log below it.",
        show_default=False,
    ),
]
PolicyOption = Annotated[
    str,
    typer.Option(
        "--policy",
        help="uniform, logged, greedy (the logged one without its exploration), strategy:NAME (where it is eligible), "
        "a file with a linear softmax (docs/ope.md), or a run's folder of `multimood rl train`.",
    ),
]
EpsilonOption = Annotated[float, typer.Option("--epsilon", help="Make it epsilon-soft: so much of uniform.")]
KeepOption = Annotated[
    float, typer.Option("--keep", help="Keep so much of the logged policy: a nearer target has more support.")
]
RewardOption = Annotated[
    str,
    typer.Option(
        "--reward",
        help="reward, rating, intensity (1 - the person's own report afterwards), lookahead (values that the person "
        "shows in their next turns: `multimood experience values`), or score_<criterion>.",
    ),
]
EstimatorsOption = Annotated[
    str | None,
    typer.Option(
        "--estimators",
        help="Of a turn: ips, snips, dm, dr. Of a conversation: pdis, wpdis, fqe, sdr. Default: the former, or with "
        "--horizon the latter.",
        show_default=False,
    ),
]
HorizonOption = Annotated[
    int | None, typer.Option("--horizon", help="Turns of a conversation that count; all of them.", show_default=False)
]
GammaOption = Annotated[float, typer.Option("--gamma", help="Discount of a turn, above 0, at most 1.")]
ClipOption = Annotated[
    float | None,
    typer.Option("--clip", help="Largest weight: steadier, and biased towards the logged policy.", show_default=False),
]
SliceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--slice",
        help="Also for each value of screening_level, stage, locale, modalities, policy_version, tenant or "
        "guard (what became of the texts); repeatable.",
    ),
]
TruthOption = Annotated[
    Path | None,
    typer.Option("--truth", help="What `multimood simulate --truth` wrote: the true value beside each estimate."),
]
JsonOption = Annotated[
    Path | None, typer.Option("--json", help="Write the answers there, too, for programs.", callback=place)
]
SeedOption = Annotated[int, typer.Option("--seed", help="Of the bootstrap and of the folds.")]
DataOption = Annotated[Path, typer.Option("--data", help="Folder of the local system whose store to read.")]


def ope(  # noqa: PLR0917 - typer makes options of them
    path: PathArgument,
    policy: PolicyOption,
    epsilon: EpsilonOption = 0.0,
    keep: KeepOption = 0.0,
    reward: RewardOption = "reward",
    estimators: EstimatorsOption = None,
    horizon: HorizonOption = None,
    gamma: GammaOption = 1.0,
    clip: ClipOption = None,
    slices: SliceOption = None,
    truth: TruthOption = None,
    json_file: JsonOption = None,
    seed: SeedOption = 0,
    triton: TritonOption = None,
    data: DataOption = DATA,
) -> None:
    """Tell what another policy would have earned, with 95 % intervals, from logged decisions and their propensities.

    Beside each estimate stands what the logged policy earned. Where the log cannot answer, the estimate is refused,
    with the reason. Exit code: 0 when every estimate over the whole log was given, 3 when one was refused, 1 when the
    log or the policy cannot be read, 2 for options that make no sense. A refused slice changes no exit code.
    """
    if reward == LOOKAHEAD and horizon is not None:
        raise typer.BadParameter(
            "lookahead counts what comes later already: leave --horizon out", param_hint="--reward"
        )
    with explained(REMEDY):
        question = _question(
            _target(policy, epsilon, keep),
            _asked(estimators, horizon),
            {"horizon": horizon, "discount": gamma, "clip": clip, "seed": seed},
        )
        names = list(dict.fromkeys(slices or ()))
        with counting(wide=10) as progress:
            oracle = None if truth is None else _oracle(truth)
            with open_log(path, data) as log:
                ahead = _looked_ahead(log, triton, data, progress) if reward == LOOKAHEAD else None
                reading = _read(log, reward, names, oracle, progress, ahead)
            answers = _answers(reading, question, names, progress)
        _show(reading, answers)
        if json_file is not None:
            about = _about(path, reward, question, reading)
            about |= {"reward_version": ahead.version} if ahead is not None else {}
            json_file.write_text(json.dumps(about | {"answers": _plain(answers)}, indent=1) + "\n", encoding="utf-8")
    if _refused(answers):
        raise typer.Exit(REFUSED)


def _target(policy: str, epsilon: float, keep: float) -> "Policy":
    """The policy that the options name."""
    from multimood.ope import epsilon_soft, near_logged  # noqa: PLC0415 - see REMEDY

    return near_logged(epsilon_soft(_policy(policy), epsilon), keep)


def _asked(estimators: str | None, horizon: int | None) -> tuple[str, ...]:
    from multimood.ope import NAIVE, OF_CONVERSATIONS, OF_TURNS  # noqa: PLC0415 - see REMEDY

    known = OF_TURNS if horizon is None else OF_CONVERSATIONS
    named = known if estimators is None else [name.strip() for name in estimators.split(",")]
    asked = tuple(dict.fromkeys(name for name in named if name and name not in NAIVE))
    if not asked:
        raise typer.BadParameter("--estimators names none: leave it out, or give some, such as snips,dr")
    return asked


def _question(policy: "Policy", estimators: tuple[str, ...], options: Mapping[str, Any]) -> "Question":
    from multimood.ope import Question  # noqa: PLC0415 - see REMEDY
    from multimood.ope.evaluate import check  # noqa: PLC0415 - see REMEDY

    question = Question(policy, estimators, **options)
    try:
        check(question)
    except ConfigurationError as error:
        raise typer.BadParameter(str(error)) from None
    return question


def _policy(name: str) -> "Policy":
    from multimood.ope import Greedy, Logged, OneStrategy, Uniform, load  # noqa: PLC0415 - see REMEDY

    by_name: Mapping[str, Policy] = {"uniform": Uniform(), "logged": Logged(), "greedy": Greedy()}
    if name in by_name:
        return by_name[name]
    kind, _, strategy = name.partition(":")
    if kind == "strategy":
        return OneStrategy(strategy)
    return _learned(Path(name)) if Path(name).is_dir() or name.endswith(".onnx") else load(Path(name))


def _learned(place: Path) -> "Policy":
    """A policy that `multimood rl train` wrote."""
    from multimood.learning.policies import open_policy  # noqa: PLC0415 - see REMEDY

    return open_policy(place)


def _read(  # noqa: PLR0917 - they are all of the reading
    log: "OpenLog", reward: str, slices: Sequence[str], oracle: Mapping[str, Mapping[str, float]] | None,
    progress: Progress, ahead: "LookedAhead | None",
) -> "Reading":  # fmt: skip
    from multimood.ope import read  # noqa: PLC0415 - see REMEDY

    task = progress.add_task("rows read", total=None)
    pseudonyms, rows = log.pseudonyms(), _counted(log.rows(), progress, task)
    if ahead is not None:
        from multimood.trust.ahead import with_lookahead  # noqa: PLC0415 - the judges' packages

        rows = with_lookahead(rows, ahead.found)
    return read(rows, reward, slices, oracle, called=None if pseudonyms is None else pseudonyms.utterance)


def _looked_ahead(log: "OpenLog", triton: str | None, data: Path, progress: Progress) -> "LookedAhead":
    from multimood.trust.ahead import Looking  # noqa: PLC0415 - see REMEDY

    task = progress.add_task("values", total=None)
    return looked_ahead(
        log, Looking(), triton, data, advance=lambda done, of: progress.update(task, completed=done, total=of)
    )


def _counted(rows: Iterable[dict[str, Any]], progress: Progress, task: Any) -> Iterator[dict[str, Any]]:
    for row in rows:
        progress.advance(task)
        yield row


def _oracle(path: Path) -> dict[str, dict[str, float]]:
    """Read lines of `{"utterance_id": ..., "expected": {strategy: reward}}`."""
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return {line["utterance_id"]: {name: float(p) for name, p in line["expected"].items()} for line in lines}
    except FileNotFoundError:
        raise NotFoundError(f"{path} does not exist: `multimood simulate --truth FILE` writes it") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InvalidEventError(f"{path} is not what `multimood simulate --truth` writes: one object a line") from None


def _answers(reading: "Reading", question: "Question", slices: Sequence[str], progress: Progress) -> "list[Part]":
    from multimood.ope.slicing import count, parts  # noqa: PLC0415 - see REMEDY

    task = progress.add_task("estimates", total=count(reading.log, question, slices))
    answers = []
    for part in parts(reading.log, question, slices):
        answers.append(part)
        progress.advance(task)
    return answers


def _show(reading: "Reading", answers: "Sequence[Part]") -> None:
    from multimood.ope.report import refusals, table  # noqa: PLC0415 - see REMEDY

    console = Console()
    console = console if console.is_terminal else Console(width=WIDTH)
    console.print(table(answers))
    for line in refusals(answers):
        console.print(line, highlight=False, markup=False)
    left = ", ".join(f"{reason} {number}" for reason, number in reading.left_out.items()) or "none"
    console.print(f"{reading.rows} rows; not evaluated: {left}", highlight=False)


def _about(path: str, reward: str, question: "Question", reading: "Reading") -> dict[str, Any]:
    return {
        "log": path, "rows": reading.rows, "left_out": dict(reading.left_out), "reward": reward,
        "policy": question.policy.name, "horizon": question.horizon, "gamma": question.discount,
        "clip": question.clip, "seed": question.seed, "limits": asdict(question.limits),
    }  # fmt: skip


def _plain(answers: "Sequence[Part]") -> list[dict[str, Any]]:
    from multimood.ope.report import as_json  # noqa: PLC0415 - see REMEDY

    return as_json(answers)


def _refused(answers: "Sequence[Part]") -> bool:
    from multimood.ope import Refusal  # noqa: PLC0415 - see REMEDY

    return any(part.slice == "all" and isinstance(part.answer, Refusal) for part in answers)
