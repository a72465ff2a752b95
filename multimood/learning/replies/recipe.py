"""How a reply model is taught: what every learner needs to be told, with what was found to work for a small model."""

from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias, cast

from multimood.errors import ConfigurationError

Learner: TypeAlias = Literal["sft", "dpo", "grpo"]
LEARNERS: Final[tuple[Learner, ...]] = ("sft", "dpo", "grpo")
ABSENT: Final = {
    "ppo": "TRL 1.16 has no PPO trainer any more: take grpo, which clips the same ratio and needs no value model"
}
"""Learners of the paper that cannot be had, and what to do instead."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One training. Steps are updates of the weights; a batch is what one process takes at once."""

    learner: Learner
    steps: int
    batch: int = 4
    gather: int = 1
    """Batches that make one step."""
    rate: float = 2e-4
    beta: float = 0.0
    """DPO, GRPO: how much leaving the reference model costs."""
    rank: int = 16
    """Of the adapter's matrices (LoRA: Hu et al., ICLR 2022); it is scaled by 2."""
    dropout: float = 0.0
    tokens: int = 512
    """Longest prompt with its reply: what is longer is left out."""
    save_every: int = 20
    dtype: str = "bfloat16"
    """Of the fixed weights; the adapter's are float32."""
    reply_tokens: int = 64
    """GRPO: longest reply that is tried; what is unfinished then is cut off, as it is in service."""
    candidates: int = 4
    """DPO from dialogues: best and worst of so many. GRPO: replies to one prompt that are compared."""
    temperature: float = 0.9
    """DPO from dialogues, GRPO: at which candidates are written."""
    min_gap: float = 0.05
    """DPO: by so much rewards (0..1) of a pair differ at least."""
    least_reward: float = 0.6
    """SFT from the log: replies below it are no example."""
    dialogue_chars: int | None = None
    """Of the dialogue that a prompt holds; None: as the responder's setting says."""


USUAL: Final = {
    "sft": Recipe("sft", steps=200, rate=3e-4),
    "dpo": Recipe("dpo", steps=80, rate=1e-4, beta=0.1),
    "grpo": Recipe("grpo", steps=40, batch=8, rate=1e-4, beta=0.02),
}


def recipe_for(learner: str, **given: Any) -> Recipe:
    """The usual recipe of a learner with what is given (not None) in place of it.

    Raises:
        ConfigurationError: no such learner, or a value that cannot work.
    """
    if learner in ABSENT:
        raise ConfigurationError(f"{learner} is not to be had: {ABSENT[learner]}")
    if learner not in LEARNERS:
        raise ConfigurationError(f"{learner!r} teaches no reply model; there are {', '.join(LEARNERS)}")
    made = replace(USUAL[learner], **{name: value for name, value in given.items() if value is not None})
    for name in ("steps", "batch", "gather", "rank", "tokens", "save_every", "rate", "temperature"):
        if cast("float", getattr(made, name)) <= 0:
            raise ConfigurationError(f"{name} is {getattr(made, name)}: it must be above 0")
    if learner == "grpo" and (made.candidates < 2 or made.batch % made.candidates):  # noqa: PLR2004 - to compare
        raise ConfigurationError(
            f"a batch of {made.batch} cannot hold whole groups of {made.candidates} candidates: give a batch that is a "
            "multiple of candidates, at least 2"
        )
    if learner == "dpo" and made.candidates < 2:  # noqa: PLR2004
        raise ConfigurationError(f"candidates is {made.candidates}: a pair needs at least 2")
    return made
