"""A turn on the terminal while it happens: what was perceived and decided, the reply as it is written, its scores."""

from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from multimood.cli.account import TurnAccount, distribution, level_label
from multimood.contracts.v1 import events_pb2 as pb

BAR: Final = 12
MOST: Final = 3
OVERRIDES: Final = {
    pb.OVERRIDE_CRISIS: "crisis: the vetted reply and nothing else",
    pb.OVERRIDE_UNSCREENED: "not screened: a vetted reply, not a guess",
    pb.OVERRIDE_NO_INPUT: "nothing usable came: a vetted reply",
    pb.OVERRIDE_MODEL_UNAVAILABLE: "the policy did not answer: a vetted reply",
    pb.OVERRIDE_ESCALATED: "an escalation is open: a vetted reply until a human has taken over",
    pb.OVERRIDE_EVIDENCE: "low risk in words, distress in voice or face: escalated, a vetted reply",
}
SOURCES: Final = {
    pb.REPLY_SOURCE_VETTED_CRISIS: "vetted reply for a crisis",
    pb.REPLY_SOURCE_VETTED_FALLBACK: "vetted reply",
}


class TurnScreen:
    """Prints the parts of one turn in the order they come."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._in_line = False

    def part(self, account: TurnAccount, part: str) -> None:
        """Show what has just been taken into the account."""
        match part:
            case "decision":
                self._perceived(account)
            case "delta":
                self._piece(account.pieces[-1])
            case "reply":
                self._reply(account)
            case "escalation":
                self._escalation(account)
            case "rejected":
                self._rejected(account)
            case _:
                pass

    def end(self, account: TurnAccount) -> None:
        """Show scores and timings."""
        self._break()
        if account.trust is not None:
            scores = "  ".join(
                f"{name.replace('_', ' ')} [bold]{'-' if score is None else f'{score:.1f}'}[/]"
                for name, score in account.scores().items()
            )
            reward = account.reward()
            self._console.print(
                f"[cyan]trust[/]     {scores}  reward [bold]{'-' if reward is None else f'{reward:.2f}'}[/]"
            )
        timings = "  ".join(f"{name.replace('_', ' ')} {spent:.0f}" for name, spent in account.timings_ms().items())
        self._console.print(f"[dim]ms        {timings}[/]", highlight=False)

    def _perceived(self, account: TurnAccount) -> None:
        decision = account.decision
        assert decision is not None
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        for name, seen in account.modalities().items():
            if seen["status"] == "ok":
                table.add_row(f"[cyan]{name}[/]", "", _bars(seen["emotion"] or {}))
            else:
                table.add_row(f"[cyan]{name}[/]", "[yellow]missing[/]", f"[yellow]{seen['reason']}[/]")
        if decision.user_emotion:
            fused = f"{_bars(distribution(decision.user_emotion))}   intensity {decision.intensity:.2f}"
            table.add_row("[cyan bold]together[/]", "", fused)
        if decision.strategy:
            table.add_row("[cyan bold]strategy[/]", "", _bars(distribution(decision.strategy)))
        if decision.chosen:
            chosen = f"[bold]{escape(decision.chosen)}[/] (propensity {decision.propensity:.2f})"
            emotion = distribution(decision.system_emotion)
            tone = f", tone {max(emotion, key=lambda label: emotion[label])}" if emotion else ""
            stage = f", stage {escape(decision.stage)}" if decision.stage else ""
            table.add_row("[cyan bold]chosen[/]", "", f"{chosen}{stage}{tone}")
        if decision.override:
            table.add_row("", "", f"[yellow]{OVERRIDES.get(decision.override, 'overridden')}[/]")
        self._console.print(table)

    def _piece(self, text: str) -> None:
        if not self._in_line:
            self._console.print("[green]reply[/]     ", end="")
            self._in_line = True
        self._console.print(text, end="", markup=False, highlight=False, soft_wrap=True)

    def _reply(self, account: TurnAccount) -> None:
        assert account.reply is not None
        if self._in_line and "".join(account.pieces).strip() == account.reply.text.strip():
            self._break()
            return
        self._break()
        note = SOURCES.get(account.reply.source, "the whole reply" if account.pieces else "")
        self._console.print(f"[green]reply[/]     {f'[dim]({note})[/] ' if note else ''}", end="")
        self._console.print(account.reply.text, markup=False, highlight=False, soft_wrap=True)

    def _escalation(self, account: TurnAccount) -> None:
        assert account.escalation is not None
        self._break()
        level = level_label(account.escalation.level)
        self._console.print(f"[red bold]escalated[/] level {level}, rules {', '.join(account.escalation.rules) or '-'}")
        if identity := account.escalation.escalation_id:
            self._console.print(
                f"          to {account.escalation.notify}, until `multimood escalations ack {identity}`"
            )

    def _rejected(self, account: TurnAccount) -> None:
        assert account.rejected is not None
        self._break()
        self._console.print(
            f"[red bold]no reply[/]  {escape(account.rejected.stage)} could not process it "
            f"({escape(account.rejected.reason)}); it waits in the dead letters: `multimood dlq ls`"
        )

    def _break(self) -> None:
        if self._in_line:
            self._console.print()
            self._in_line = False


def _bars(probabilities: dict[str, float]) -> str:
    """Write the likeliest labels, each with a bar."""
    likeliest = sorted(probabilities.items(), key=lambda item: -item[1])[:MOST]
    return "  ".join(f"{escape(label)} [magenta]{'█' * max(1, round(p * BAR))}[/] {p:.2f}" for label, p in likeliest)
