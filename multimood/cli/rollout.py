"""`multimood rl promote|rollback|status`: a policy or a reply model into service, out of it, and how that stands."""

import asyncio
import getpass
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.live import Live

from multimood.cli.brokers import kafka_of
from multimood.cli.logplace import DATA
from multimood.cli.rollout_place import Where, audited, goods_of, model_of, named, placed
from multimood.cli.rollout_shown import shown_progress, shown_status, state_of, time_name, version_name, version_object
from multimood.clock import now_us
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import MultimoodError
from multimood.perception.strategy import MODEL
from multimood.rollout.approval import approved_by, check_never_taken_back
from multimood.rollout.audit import as_object, as_objects
from multimood.rollout.candidate import Candidate, candidate_of
from multimood.rollout.errors import PromotionRefusedError
from multimood.rollout.shipped import REPLIES, shipped
from multimood.rollout.standing import NONE, Version

if TYPE_CHECKING:
    from multimood.rollout.promotion import Outcome, Plan

NOT_TAKEN: Final = 3
"""Exit code: nothing is broken, and it is not the champion."""

DataOption = Annotated[Path, typer.Option("--data", help="Folder of the local system.")]
ModelOption = Annotated[
    str,
    typer.Option(
        "--model", help="The model on Triton: `responder`, or a policy model. Default: of RUN, else `policy`."
    ),
]
RepositoryOption = Annotated[
    str,
    typer.Option(
        "--repository",
        help="Triton's model repository, as Triton reads it: a folder or s3://... Default: "
        "MULTIMOOD_ROLLOUT_REPOSITORY, else the local system's.",
    ),
]
TritonOption = Annotated[
    str,
    typer.Option(
        "--triton",
        help="host:port of Triton's HTTP interface, each address of the name. Default: MULTIMOOD_ROLLOUT_TRITON, else "
        "the local system's.",
    ),
]
AuditOption = Annotated[
    str,
    typer.Option(
        "--audit",
        help="Folder for the audit records. Default: MULTIMOOD_ROLLOUT_AUDIT, else audit/rollouts/ in the experience "
        "bucket.",
    ),
]
OperatorOption = Annotated[
    str, typer.Option("--operator", help="Who lets it pass: a name or a role; every step names them.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")]


def add_to(app: typer.Typer) -> None:
    """Put the three commands beside `train` and `evaluate`."""
    for command in (promote, rollback, status):
        app.command()(command)


def promote(  # noqa: PLR0917 - each is an option
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="A run of a policy or a reply model that `multimood rl evaluate` let pass."),
    ],
    operator: OperatorOption = "",
    policy_file: Annotated[
        Path | None, typer.Option("--policy-file", help="Rules (TOML) that let it pass in place of a human.")
    ] = None,
    stages: Annotated[
        str, typer.Option("--stages", help="Shares of the conversations, one canary after another, then all.")
    ] = "0.1,0.5",
    share: Annotated[
        float | None, typer.Option("--share", min=0.001, max=0.99, help="One canary of this share instead of stages.")
    ] = None,
    least: Annotated[
        int, typer.Option("--least", min=10, help="Conversations that either must have had in every stage.")
    ] = 50,
    lease: Annotated[
        float, typer.Option("--lease", min=5, help="Seconds after which a canary ends that nobody renews.")
    ] = 120.0,
    timeout: Annotated[
        float, typer.Option("--timeout", min=1, help="Seconds for all stages; undecided by then is rolled back.")
    ] = 86_400.0,
    keep: Annotated[int, typer.Option("--keep", min=0, help="Old versions that stay, beside the former champion.")] = 3,
    model: ModelOption = "",
    repository: RepositoryOption = "",
    triton: TritonOption = "",
    audit: AuditOption = "",
    as_json: JsonOption = False,
    data: DataOption = DATA,
) -> None:
    """Put a policy or a reply model into service: write, load, check, canary, watch, and complete or roll back.

    RUN must hold `policy.onnx`, or `model.gguf`, and a `gate.json` that let exactly this file pass, compared with the
    champion that serves now; there is no way round the gate, and beyond it a human (--operator) or a file of rules
    (--policy-file) has to let it pass. It is tried on every Triton server, becomes the next version of the model, and
    gets a share of the conversations; trust, failures of the crisis gate, escalations, refused replies, missing answers
    and latency are compared with the champion's. What is worse is rolled back at once. Ctrl-C, or a kill, leaves a
    canary that ends by its lease.

    Exit code 0: it is the champion. 3: it was rolled back, or somebody else took a step. 1: it was refused, or a server
    did not answer; should a canary have begun, it ends by its lease.
    """
    where = Where.of(data, repository, triton, audit)
    candidate = candidate_of(run)
    who = approved_by(operator, policy_file, candidate)
    name = model_of(candidate, model)
    shares = (share,) if share is not None else _shares(stages)
    console = Console(stderr=True)
    from multimood.rollout.promotion import Plan  # noqa: PLC0415 - numpy and the bus are slow to import

    plan = Plan(shares, least, lease, timeout)
    try:
        version, outcome = asyncio.run(_promoted(candidate, name, who, plan, where, keep, not operator, console))
    except KeyboardInterrupt:
        console.print("broken off: a canary that has begun ends by its lease, see `multimood rl status`")
        raise typer.Exit(1) from None
    if as_json:
        told = {"version": version.version, "sha256": version.sha256.hex(), "outcome": outcome.kind}
        typer.echo(json.dumps({**told, "model": name, "reason": outcome.reason, "unrecorded": outcome.unrecorded}))
    else:
        typer.echo(f"{name} {version}: {outcome.kind.replace('_', ' ')}: {outcome.reason}")
    if outcome.unrecorded:
        typer.echo(f"the audit lacks a step: {outcome.unrecorded}", err=True)
    raise typer.Exit(0 if outcome.kind == "completed" else NOT_TAKEN)


async def _promoted(  # noqa: PLR0917 - the options
    candidate: Candidate, name: str, who: str, plan: "Plan", where: Where, keep: int, by_rules: bool, console: Console
) -> "tuple[Version, Outcome]":
    from multimood.rollout.observed import of_policy, of_reply_model  # noqa: PLC0415
    from multimood.rollout.promotion import Promotion  # noqa: PLC0415
    from multimood.rollout.steps import Rollout, course_of, needed_by, steps_of, used_in  # noqa: PLC0415

    kafka, first = kafka_of(where.data), shipped(name)
    steps = await steps_of(kafka, name)
    if by_rules:
        check_never_taken_back(steps, candidate)
    standing = course_of(steps, first).standing
    if standing.is_canary(now_us()):
        raise PromotionRefusedError(
            f"a canary of {name} {standing.challenger} is going on, until {time_name(standing.until_us)} if nobody "
            "renews it: wait for its end, or `multimood rl rollback`"
        )
    if candidate.sha256 == standing.champion.sha256:
        raise PromotionRefusedError(f"this is the champion already: {name} {standing.champion}")
    candidate.compared.check(name, standing.champion)
    async with placed(where, name) as place, audited(where) as audit:
        with console.status("trying it, and loading it"):
            version = await place.bring(goods_of(candidate), used_in(steps))
        console.print(f"{name} {version} is ready on {len(place.servers.each)} server(s)", highlight=False)
        rollout = Rollout(name, standing.champion, version, who)
        with Live(console=console, refresh_per_second=2, transient=True) as live:
            reads = of_reply_model if name == REPLIES else of_policy
            promotion = Promotion(rollout, plan, kafka, audit, lambda seen: live.update(shown_progress(seen)), reads)
            outcome = await promotion.run()
        try:
            await place.prune(needed_by(await steps_of(kafka, name), first), keep)
        except MultimoodError as error:  # the outcome is what counts; the next promotion prunes
            console.print(f"old versions stay for now: {error}", highlight=False, markup=False)
        return version, outcome


def rollback(  # noqa: PLR0917 - each is an option
    to: Annotated[
        str,
        typer.Option(
            "--to", help="A version; of a policy `none`: the fusion model's own distribution. Default: the former."
        ),
    ] = "",
    reason: Annotated[str, typer.Option("--reason", help="For whoever reads the history.")] = "by hand",
    operator: OperatorOption = "",
    model: ModelOption = "",
    repository: RepositoryOption = "",
    triton: TritonOption = "",
    audit: AuditOption = "",
    data: DataOption = DATA,
) -> None:
    """End a canary, or go back to the champion before, or to a named version. Takes effect within a second.

    A canary is ended without asking anybody. A version that is to be the champion again must be in the repository,
    unchanged, and ready on every Triton server. A promotion that is running notices and ends. Exit code 0: done.
    """
    name, where = model or MODEL["mesc"], Where.of(data, repository, triton, audit)
    step, unrecorded = asyncio.run(_rolled_back(name, to, reason, operator or getpass.getuser(), where))
    typer.echo(f"{name}: {version_name(step.champion)} is the champion")
    if unrecorded:
        typer.echo(f"the audit lacks this step: {unrecorded}", err=True)


async def _rolled_back(name: str, to: str, reason: str, who: str, where: Where) -> tuple[pb.Rollout, str]:
    from multimood.bus.publisher import Publisher  # noqa: PLC0415
    from multimood.rollout.promotion import SERVICE  # noqa: PLC0415
    from multimood.rollout.steps import Rollout, course_of, former_of, publish, steps_of  # noqa: PLC0415

    kafka = kafka_of(where.data)
    course = course_of(await steps_of(kafka, name), shipped(name))
    last, standing = course.last, course.standing
    target: Version | None = standing.champion
    if to or standing.challenger is None:
        target = None if last is None else former_of(last)
        if not to and target is None:
            raise PromotionRefusedError(
                f"{name} {standing.champion} has no former champion here: name a version by --to"
            )
        async with placed(where, name) as place:
            if to:
                target = NONE if to == "none" and name != REPLIES else await named(place, to)
            if target is not None and target.version:
                await place.check(target)
    assert target is not None
    rollout = Rollout(name, target, standing.challenger or standing.champion, who)
    if standing.challenger is not None and last is not None:  # the same rollout, which this ends for good
        rollout = replace(rollout, id=last.rollout_id)
    step = rollout.rolled_back(reason)
    publisher = Publisher(kafka, SERVICE)
    await publisher.start()
    try:
        await publish(publisher, step)
    finally:
        await publisher.stop()
    try:
        async with audited(where) as audit:
            return step, await audit.record_if_possible(step)
    except MultimoodError as error:
        return step, str(error)


def status(
    model: ModelOption = "",
    as_json: JsonOption = False,
    data: DataOption = DATA,
) -> None:
    """How the rollout stands: champion, challenger, share and lease, what the guard saw, and the steps before."""
    from multimood.rollout.steps import course_of, steps_of  # noqa: PLC0415

    name = model or MODEL["mesc"]
    steps = asyncio.run(steps_of(kafka_of(data), name))
    course = course_of(steps, shipped(name))
    last, standing = course.last, course.standing
    if as_json:
        found: dict[str, object] = {
            "model": name,
            "state": state_of(last, standing),
            "champion": version_object(standing.champion),
        }
        if standing.challenger is not None:
            found |= {"challenger": version_object(standing.challenger), "share": standing.share}
            found |= {"until_us": standing.until_us}
        found |= {"last": None if last is None else as_object(last), "history": as_objects(steps)}
        typer.echo(json.dumps(found))
        return
    shown_status(name, steps, last, standing)


def _shares(stages: str) -> tuple[float, ...]:
    try:
        shares = tuple(float(one) for one in stages.split(","))
    except ValueError:
        shares = ()
    canaries = tuple(one for one in shares if one != 1)  # all is what comes after the last of them
    if not canaries or not all(0 < one < 1 for one in canaries) or list(shares) != sorted(set(shares)):
        raise typer.BadParameter(f"--stages {stages}: write shares between 0 and 1, upwards, such as 0.1,0.5")
    return canaries
