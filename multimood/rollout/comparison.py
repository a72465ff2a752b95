"""With whom the gate compared a policy or a reply model: its leave is worth nothing once somebody else serves. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from multimood.perception.strategy import SHIPPED
from multimood.rollout.errors import PromotionRefusedError
from multimood.rollout.standing import Version

OWN: Final = "none"
"""Stands for the fusion model's own distribution, as `Version` does: no policy model was drawn from."""
LEAST: Final = 0.5
"""Of the judged decisions the share that the champion must have made, where the log's own policy was to be beaten."""
REMEDY: Final = "judge it beside that one, `multimood rl evaluate RUN --champion served`"
OF_REPLIES: Final = "train and judge it anew with --base, the file of the weights that serve"
_TOLD: Final = 3


@dataclass(frozen=True, slots=True)
class Comparison:
    """Whom a `gate.json` names as the champion."""

    name: str
    """In the gate's words."""
    sha256: str
    """Of the champion's graph or weights, in hexadecimal digits, or `OWN`; empty: the policy that wrote the log."""
    decisions: Mapping[str, int]
    """The decisions that were judged, by the `policy_version` of their rows."""
    remedy: str = REMEDY

    @classmethod
    def of(cls, gate: Mapping[str, Any]) -> Self:
        """What a `gate.json` says. What it lacks, or is none, is empty."""
        found: Any = gate
        for name in ("data", "parts", "held", "policy_versions"):
            found = found.get(name) if isinstance(found, Mapping) else None
        counts = found if isinstance(found, Mapping) else {}
        decisions = {str(name): count for name, count in counts.items() if isinstance(count, int) and count > 0}
        return cls(str(gate.get("champion", "")), str(gate.get("champion_sha256") or ""), decisions)

    @classmethod
    def of_replies(cls, gate: Mapping[str, Any]) -> Self:
        """The same of a reply model: it was compared with the weights that it was taught from."""
        return cls(str(gate.get("champion", "")), str(gate.get("champion_sha256") or ""), {}, OF_REPLIES)

    def check(self, model: str, champion: Version) -> None:
        """See that it was compared with the champion that serves now. `model`: its name on Triton.

        Version 1, which is shipped, passes the fusion model's own distribution on: what either decided, both did.

        Raises:
            PromotionRefusedError: with another, or it is not said with whom.
        """
        if self.sha256:
            if self.sha256 != (champion.sha256.hex() or OWN):
                raise PromotionRefusedError(
                    f"the gate compared it with {self.name or 'a policy'} ({self.sha256[:12]}), but {model} {champion} "
                    f"serves: {self.remedy}"
                )
            return
        if not self.decisions:
            raise PromotionRefusedError(
                "gate.json does not say whom it was compared with: run `multimood rl evaluate` on this run again"
            )
        made = Counter[str]()
        for version, count in self.decisions.items():
            made[_drawn_from(model, version)] += count
        own = sum(count for name, count in made.items() if _alike(name, champion))
        if own < LEAST * made.total():
            others = ", ".join(f"{name} {count}" for name, count in made.most_common(_TOLD))
            raise PromotionRefusedError(
                f"the gate compared it with the policies that wrote the log ({others} of {made.total()} decisions), but"
                f" {model} {champion} serves: {self.remedy}"
            )


def _drawn_from(model: str, policy_version: str) -> str:
    """The version of the policy model in the name of a whole behaviour policy, as `str(Version)` writes it."""
    for part in policy_version.split(";"):
        name, colon, version = part.partition(":")
        if colon and name == model:
            return version
    return OWN


def _alike(drawn_from: str, champion: Version) -> bool:
    is_own = champion.version in {"", SHIPPED}
    return drawn_from == str(champion) or (is_own and drawn_from.partition("@")[0] in {OWN, SHIPPED})
