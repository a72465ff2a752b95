"""Which strategies may be chosen at all, whoever chooses: the strategist, and the simulator that imitates it. Pure."""

from collections.abc import Sequence
from typing import Final

NO_INSTRUCTION: Final = frozenset({"others"})
"""No reply can be written by it: never eligible."""
ADVICE: Final = frozenset({"advisement", "providing suggestions", "information"})
"""ESConv's third stage (Liu et al., ACL 2021): not before the person has been heard, so not in the first turn."""
RULES: Final = "rules-2"
"""Names the two sets above, and when there is no exploration, in the policy's version; raise it with them."""


def allowed(strategies: Sequence[str], step: int) -> tuple[str, ...]:
    """Those of a taxonomy's strategies that may be chosen in the person's turn number `step` (from 0)."""
    barred = NO_INSTRUCTION if step else NO_INSTRUCTION | ADVICE
    return tuple(name for name in strategies if name not in barred)
