"""How a rollout is printed."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from multimood.clock import now_us
from multimood.contracts.v1 import events_pb2 as pb
from multimood.rollout.standing import Standing, Version

if TYPE_CHECKING:
    from multimood.rollout.promotion import Progress

MOST_HISTORY: Final = 20


def shown_status(name: str, steps: Sequence[pb.Rollout], last: pb.Rollout | None, standing: Standing) -> None:
    """Print how it stands, what the guard saw, and the last steps."""
    console = Console()
    console.print(f"{name}: {state_of(last, standing)}, champion {standing.champion}", highlight=False)
    if standing.challenger is not None:
        lease = f"until {time_name(standing.until_us)}" if standing.is_canary(now_us()) else "its lease is over"
        console.print(f"challenger {standing.challenger}, share {standing.share:g}, {lease}", highlight=False)
    if last is not None and last.figures:
        console.print(_figures(last.figures))
    table = Table("when", "stage", "champion", "challenger", "share", "by", "why", box=None, pad_edge=False)
    for step in _told_steps(steps)[-MOST_HISTORY:]:
        challenger = version_name(step.challenger) if step.HasField("challenger") else ""
        share = f"{step.share:g}" if step.stage == pb.ROLLOUT_STAGE_CANARY else ""
        cells = (stage_name(step), version_name(step.champion), challenger, share)
        table.add_row(time_name(step.at_us), *cells, escape(step.operator), escape(step.reason))
    console.print(table if steps else "nothing was ever promoted")


def shown_progress(progress: "Progress") -> Group:
    """A canary while it runs."""
    from multimood.rollout.steps import figure_of  # noqa: PLC0415 - the bus is slow to import

    champion, challenger = progress.conversations
    left_s = max(0, (progress.until_us - now_us()) // 1_000_000)
    rollout = progress.rollout
    head = (
        f"{rollout.model} {rollout.challenger} gets {progress.share:g} of the conversations, the rest "
        f"{rollout.champion}\nin this stage {challenger} and {champion} conversations; lease {left_s} s"
    )
    return Group(Text(head), _figures([figure_of(one) for one in progress.figures]))


def state_of(last: pb.Rollout | None, standing: Standing) -> str:
    """One word or two for how it stands."""
    if last is None:
        return "nothing promoted"
    if standing.challenger is not None:
        return "canary" if standing.is_canary(now_us()) else "lease over"
    return stage_name(last)


def version_name(version: pb.PolicyVersion) -> str:
    """A version in a record, for people."""
    return str(Version(version.version, version.sha256))


def version_object(version: Version | None) -> dict[str, str] | None:
    """A version for programs."""
    return None if version is None else {"version": version.version, "sha256": version.sha256.hex()}


def time_name(at_us: int) -> str:
    """A time, UTC, to the second."""
    return datetime.fromtimestamp(at_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def stage_name(step: pb.Rollout) -> str:
    """A step's stage in small letters."""
    return pb.RolloutStage.Name(step.stage).removeprefix("ROLLOUT_STAGE_").lower().replace("_", " ")


def _told_steps(steps: Sequence[pb.Rollout]) -> list[pb.Rollout]:
    """Without the renewals of a lease, but the last."""
    kept = []
    for step, after in zip_longest(steps, steps[1:]):
        same = after is not None and (after.rollout_id, after.stage, after.share) == (
            step.rollout_id, step.stage, step.share,
        )  # fmt: skip
        if not same:
            kept.append(step)
    return kept


def _figures(figures: Sequence[pb.GuardFigure]) -> Table:
    table = Table("guard", "champion", "challenger", "difference", "verdict", box=None, pad_edge=False)
    for one in figures:
        interval = f"{one.low:.3g} to {one.high:.3g}"
        table.add_row(one.name, f"{one.champion:.3g}", f"{one.challenger:.3g}", interval, one.verdict)
    return table
