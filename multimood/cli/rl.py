"""`multimood rl`: policies learned from the experience log, and the gate before anyone meets them."""

import json
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, cast

import typer
from rich.console import Console

from multimood.cli import rl_replies, rollout
from multimood.cli.bars import counting
from multimood.cli.explained import explained
from multimood.cli.logplace import DATA, DataOption, FromOption, LogArgument, ToOption, days_of, open_log
from multimood.cli.lookahead import LOOKAHEAD, TritonOption, looked_ahead
from multimood.cli.rl_champion import LOGGED, champion_of
from multimood.cli.written import place
from multimood.errors import ConfigurationError
from multimood.perception.fusion import Taxonomy

if TYPE_CHECKING:
    from rich.progress import TaskID

    from multimood.cli.logplace import OpenLog
    from multimood.learning.gate import Rules, Verdict
    from multimood.learning.logged import Logged, RowsOf, Wanted
    from multimood.learning.policies import OnState

app = typer.Typer(no_args_is_help=True)

REMEDY: Final = "learning needs its own environment: run `make train-env`, then `.venv-train/bin/multimood rl ...`"
REFUSED: Final = 3
WIDTH: Final = 150

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Folder that `multimood rl train --out` wrote.")]
LearnerOption = Annotated[
    Literal["direct", "bandit", "cql", "sft", "dpo", "grpo", "ppo"],
    typer.Option(
        "--learner",
        help="direct: a clone of the logged policy, the baseline. bandit: climbs the off-policy estimate of a turn's "
        "reward. cql: values of whole conversations (needs torch). The others teach the reply model (torch, too). sft: "
        "replies that people or a good model gave. dpo: pairs of replies. grpo: the reward of what it writes itself.",
    ),
]
OutOption = Annotated[Path, typer.Option("--out", help="The run's folder. One that was broken off there goes on.")]
RewardOption = Annotated[
    str,
    typer.Option(
        "--reward",
        help="reward, rating, intensity (1 - the person's own report afterwards), lookahead (values that the person "
        "shows in their next turns), or score_<criterion>.",
    ),
]
VersionOption = Annotated[
    str, typer.Option("--reward-version", help="Of a log with rewards of several versions, the one that counts.")
]
TaxonomyOption = Annotated[
    str, typer.Option("--taxonomy", help="Of a log with decisions in both, mesc or esconv.", show_default=False)
]
HeldOption = Annotated[float, typer.Option("--held", help="Share of the conversations that is kept for `evaluate`.")]
MostOption = Annotated[
    int,
    typer.Option(
        "--most-rows", min=1, help="Of a larger log, so many rows, by whole conversations: memory stays what it is."
    ),
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="The same log and seed give the same bytes.")]
CautionOption = Annotated[
    float, typer.Option("--caution", help="How near to the logged policy (bandit), how even (cql); less dares more.")
]
DivergenceOption = Annotated[
    float, typer.Option("--most-divergence", help="From the logged policy, nats; kept by mixing the fusion model's in.")
]
WeightingOption = Annotated[
    Literal["dr", "ips"], typer.Option("--weighting", help="bandit: doubly robust, or importance weights alone.")
]
StepsOption = Annotated[int, typer.Option("--steps", min=1, help="cql: gradient steps.")]
LearnGammaOption = Annotated[float, typer.Option("--gamma", help="cql: what a reward counts a turn later, below 1.")]
NameOption = Annotated[str, typer.Option("--name", help="Of the policy; by default the learner's and a hash.")]
ChampionOption = Annotated[
    str,
    typer.Option(
        "--champion",
        help="logged: the policy that wrote the log. served: the one that serves now, of the running system. Else a "
        "run's folder, or a graph.",
    ),
]
JudgedOption = Annotated[
    str | None,
    typer.Option("--reward", help="Judge by another reward than was learned from.", show_default=False),
]
HorizonOption = Annotated[
    int | None,
    typer.Option("--horizon", min=1, help="Judge by the return of conversations of so many turns (FQE), not by turns."),
]
GammaOption = Annotated[float, typer.Option("--gamma", help="--horizon: discount of a turn, above 0, at most 1.")]
LossOption = Annotated[
    float, typer.Option("--most-loss", min=0, help="Of reward, in any slice: an estimated loss above it is refused.")
]
JsonOption = Annotated[
    Path | None, typer.Option("--json", help="Write gate.json there, too, for programs.", callback=place)
]
BootSeedOption = Annotated[int, typer.Option("--seed", min=0, help="Of the bootstrap and of the folds.")]


@app.command("train")
def train(
    log: LogArgument = "",
    *,
    out: OutOption,
    learner: LearnerOption = "bandit",
    reward: RewardOption = "reward",
    reward_version: VersionOption = "",
    taxonomy: TaxonomyOption = "",
    held: HeldOption = 0.3,
    most_rows: MostOption = 100_000,
    seed: SeedOption = 0,
    caution: CautionOption = 0.2,
    most_divergence: DivergenceOption = 2.0,
    weighting: WeightingOption = "dr",
    steps: StepsOption = 6_000,
    gamma: LearnGammaOption = 0.95,
    name: NameOption = "",
    first: FromOption = None,
    last: ToOption = None,
    triton: TritonOption = None,
    data: DataOption = DATA,
    dialogues: rl_replies.DialoguesOption = None,
    base: rl_replies.BaseOption = None,
    start: rl_replies.StartOption = None,
    given: rl_replies.SetOption = None,
) -> None:
    """Learn a strategy policy from the log's decisions; nobody meets it before `evaluate` has let it pass.

    Writes the run's folder: policy.onnx (the graph that Triton serves), config.json, data.json, metrics.json,
    environment.json, card.md. A run that was broken off goes on where it was, and ends with the same bytes. Exit code:
    0, 1 when the log cannot be learned from, 2 for options that make no sense.

    A reply model's run has adapter/ and model.gguf in place of the graph (docs/offline-rl-replies.md).
    Example: rl train --learner sft --dialogues DATA --out runs/sft --set steps=200
    """
    if learner in rl_replies.LEARNERS:
        with explained(REMEDY):
            reading = rl_replies.Reading(log, reward, days_of(first, last), triton, data)
            told = rl_replies.train(
                reading, learner, out, dialogues=dialogues, base=base, start=start, given=given or (), seed=seed
            )
        if told:  # of several processes of accelerate one tells
            typer.echo(json.dumps({"run": str(out), **told}))
        return
    with explained(REMEDY), _bars() as tell, ExitStack() as stack:
        from multimood.learning.learner import Settings  # noqa: PLC0415 - see REMEDY
        from multimood.learning.logged import Wanted  # noqa: PLC0415
        from multimood.learning.nearness import Bounds  # noqa: PLC0415
        from multimood.learning.run import Asked  # noqa: PLC0415
        from multimood.learning.run import train as training  # noqa: PLC0415

        with _sensible():
            wanted = Wanted(reward, reward_version, taxonomy, most_rows, seed, held)
            bounds = Bounds(most_divergence=most_divergence)
            settings = Settings(seed, gamma, caution, weighting, steps, bounds)
        opened = stack.enter_context(open_log(log, data))
        rows_of, version = _rows_of(opened, wanted.reward, days_of(first, last), triton, data, tell)
        asked = Asked(learner, replace(wanted, reward_version=version or reward_version), settings, name)
        metrics = training(rows_of, asked, out, tell)
    typer.echo(json.dumps({"run": str(out), **metrics}))


@app.command("evaluate")
def evaluate(  # noqa: PLR0917 - typer makes options of them
    run: RunArgument,
    log: LogArgument = "",
    champion: ChampionOption = LOGGED,
    reward: JudgedOption = None,
    horizon: HorizonOption = None,
    gamma: GammaOption = 1.0,
    most_loss: LossOption = 0.01,
    json_file: JsonOption = None,
    seed: BootSeedOption = 0,
    first: FromOption = None,
    last: ToOption = None,
    triton: TritonOption = None,
    data: DataOption = DATA,
    dialogues: rl_replies.DialoguesOption = None,
    others: rl_replies.BesideOption = None,
    contexts: rl_replies.ContextsOption = 200,
    judges: rl_replies.JudgeOption = None,
) -> None:
    """The gate: tell whether a learned policy would have done better, on conversations that training did not see.

    Refused with the reasons when the log cannot tell, when the lower bound of the value (95 %) does not pass the
    champion's estimate, when a slice by risk level, modalities, locale or stage gets worse, or the rate of what the
    guard and the crisis rule stopped. Writes gate.json into the run's folder, which `multimood rl promote` asks for.
    Exit code: 0 passed, 3 refused, 1 when log or run cannot be read, 2 for options that make no sense.

    A reply model is graded on the validation part of --dialogues, by judges that did not train, beside its base.
    """
    if rl_replies.is_replies(run):
        if dialogues is None:
            raise typer.BadParameter(f"{run} is a reply model: give --dialogues, whose validation part it will answer")
        with explained(REMEDY):
            passed = rl_replies.evaluate(
                [*(others or ()), run],
                dialogues,
                contexts=contexts,
                seed=seed,
                judges=judges or (),
                json_file=json_file,
            )
        if not passed:
            raise typer.Exit(REFUSED)
        return
    with explained(REMEDY), _bars() as tell, ExitStack() as stack:
        from multimood.learning.gate import Rules, judge  # noqa: PLC0415 - see REMEDY
        from multimood.learning.logged import load  # noqa: PLC0415
        from multimood.learning.policies import open_policy  # noqa: PLC0415
        from multimood.learning.run import logged_as  # noqa: PLC0415

        if not 0 < gamma <= 1:
            raise typer.BadParameter(f"gamma is {gamma:g}: give a number above 0, at most 1")
        challenger = open_policy(run)
        beside, beside_sha256 = champion_of(champion, _taxonomy(challenger), data)
        wanted, known = logged_as(run)
        with _sensible():
            wanted = replace(wanted, reward=reward or wanted.reward, taxonomy=wanted.taxonomy or _taxonomy(challenger))
        opened = stack.enter_context(open_log(log, data))
        rows_of, _ = _rows_of(opened, wanted.reward, days_of(first, last), triton, data, tell)
        logged = load(rows_of, wanted, "held")
        rules = Rules(horizon, gamma, most_loss, seed=seed)
        verdict = judge(logged.log, challenger, beside, rules, lambda done, of: tell("estimates", done, of))
    found = _gate(run, beside_sha256, verdict, rules, wanted, logged, known)
    text = json.dumps(found, indent=1, allow_nan=False) + "\n"
    with explained():
        for file in (_folder(run) / "gate.json", *((json_file,) if json_file is not None else ())):
            file.write_text(text, encoding="utf-8")
    _show(verdict, logged)
    if not verdict.passed:
        raise typer.Exit(REFUSED)


rollout.add_to(app)


@contextmanager
def _sensible() -> Iterator[None]:
    """Options that make no sense are the command line's fault."""
    try:
        yield
    except ConfigurationError as error:
        raise typer.BadParameter(str(error)) from None


def _rows_of(  # noqa: PLR0917 - they are all of the reading
    log: "OpenLog", reward: str, days: Any, triton: str | None, data: Path, tell: "_Tell"
) -> "tuple[RowsOf, str]":
    """How to read the log's rows anew; with the look-ahead reward also that, and its version."""

    def logged(columns: Collection[str]) -> Iterator[dict[str, Any]]:
        return log.rows(days, advance=lambda done, of: tell("objects read", done, of), columns=columns)

    if reward != LOOKAHEAD:
        return logged, ""
    from multimood.trust.ahead import Looking, with_lookahead  # noqa: PLC0415 - the judges' packages

    ahead = looked_ahead(log, Looking(), triton, data, advance=lambda done, of: tell("values, objects read", done, of))
    return lambda columns: with_lookahead(logged(columns), ahead.found), ahead.version


def _taxonomy(policy: "OnState") -> Taxonomy:
    from multimood.learning.network import taxonomy_of  # noqa: PLC0415 - see REMEDY

    return cast("Taxonomy", taxonomy_of(policy.state_version))


def _folder(run: Path) -> Path:
    return run if run.is_dir() else run.parent


def _gate(  # noqa: PLR0917 - they are all that it tells
    run: Path,
    champion_sha256: str | None,
    verdict: "Verdict",
    rules: "Rules",
    wanted: "Wanted",
    logged: "Logged",
    known: dict[str, Any],
) -> dict[str, Any]:
    """What `gate.json` holds."""
    from multimood.learning.policies import graph_at  # noqa: PLC0415 - see REMEDY
    from multimood.learning.run import sha256_of  # noqa: PLC0415
    from multimood.ope.report import as_json  # noqa: PLC0415

    held = str(logged.prints["held"])
    before = known.get("parts", {}).get("held", {}).get("fingerprint")
    return {
        "passed": verdict.passed,
        "policy_sha256": sha256_of(graph_at(run)),
        "champion": verdict.champion,
        "champion_sha256": champion_sha256,
        "reasons": list(verdict.reasons),
        "unjudged": list(verdict.unjudged),
        "estimates": as_json(verdict.parts, "champion"),
        "safety": as_json(verdict.safety, "champion"),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "reward": wanted.reward,
        "horizon": rules.horizon,
        "gamma": rules.gamma,
        "most_loss": rules.most_loss,
        "seed": rules.seed,
        "data": logged.as_json(),
        "held_as_in_training": None if before is None else held == before,
    }


def _show(verdict: "Verdict", logged: "Logged") -> None:
    from multimood.learning.sampling import counted  # noqa: PLC0415 - see REMEDY
    from multimood.ope.report import table  # noqa: PLC0415

    console = Console()
    console = console if console.is_terminal else Console(width=WIDTH)
    console.print(table([*verdict.parts, *verdict.safety], verdict.champion))
    for line in verdict.unjudged:
        console.print(f"not judged: {line}", highlight=False, markup=False)
    left = counted(logged.left_out.items()) or "none"
    console.print(f"{logged.rows} rows; of those held back not judged by: {left}", highlight=False)
    for reason in verdict.reasons:
        console.print(f"refused: {reason}", highlight=False, markup=False)
    console.print("passed" if verdict.passed else "refused", style="green" if verdict.passed else "red")


_Tell = Callable[[str, int, int | None], None]


@contextmanager
def _bars() -> Iterator[_Tell]:
    """A bar for everything that goes on, on the error stream."""
    tasks: dict[str, TaskID] = {}
    with counting() as progress:

        def tell(what: str, done: int, of: int | None) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=of)
            progress.update(tasks[what], completed=done, total=of)

        yield tell
