"""What the policy model is asked, and what its answer says: a distribution over the strategies. Pure."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from multimood.perception.fusion import Outputs, Taxonomy, UnusableAnswerError
from multimood.perception.state import STATE, STRATEGIES, names_of

if TYPE_CHECKING:
    from multimood.inference.contract import Contract

MODEL: Final[Mapping[Taxonomy, str]] = {"mesc": "policy", "esconv": ""}
"""The policy model that this version ships, by taxonomy; without one the fusion model's own distribution is used."""
SHIPPED: Final = "1"
"""Its version that is shipped: it passes the fusion model's own distribution on."""
INPUTS: Final = ("state", "eligible")
OUTPUT: Final = "strategy"
_SLACK: Final = 1e-3
"""How far from 1 a distribution's sum may be before it is no rounding."""


def policy_question(
    state: Collection[float], eligible: Collection[str], taxonomy: Taxonomy
) -> dict[str, NDArray[np.float32]]:
    """The model's inputs for one utterance: `state` in the order of `names_of`, `eligible` 1 for what may be chosen."""
    mask = [float(label in eligible) for label in STRATEGIES[taxonomy]]
    return {"state": np.array([[*state]], np.float32), "eligible": np.array([mask], np.float32)}


def policy_answer(outputs: Outputs, eligible: Collection[str], taxonomy: Taxonomy) -> dict[str, float]:
    """The distribution by label: over all strategies of the taxonomy, 0 where one is not eligible; sums to 1.

    Raises:
        UnusableAnswerError: the output is missing, of another width, no distribution, or gives probability to a
            strategy that may not be chosen.
    """
    labels = STRATEGIES[taxonomy]
    array = outputs.get(OUTPUT)
    if array is None or array.shape != (1, len(labels)):
        found = None if array is None else list(array.shape)
        raise UnusableAnswerError(
            f"output {OUTPUT} has shape {found}, expected {[1, len(labels)]}: serve a policy of {taxonomy}"
        )
    values = array[0].astype(np.float64)
    total = float(values.sum())
    if not np.isfinite(values).all() or values.min() < 0 or abs(total - 1) > _SLACK:
        raise UnusableAnswerError(f"output {OUTPUT} is no distribution (its sum is {total:.4f}): roll this policy back")
    barred = [label for label, p in zip(labels, values, strict=True) if p > 0 and label not in eligible]
    if barred:
        raise UnusableAnswerError(
            f"output {OUTPUT} chooses what may not be chosen ({barred[0]}): roll this policy back"
        )
    return {label: float(value) / total for label, value in zip(labels, values, strict=True)}


def policy_contract(model: str, taxonomy: Taxonomy) -> "Contract":
    """All tensors are float32, one row an utterance."""
    from multimood.inference.contract import ANY, Contract  # noqa: PLC0415 - Triton's client: not where commands run
    from multimood.inference.tensors import Tensor  # noqa: PLC0415

    width, many = len(names_of(f"{STATE}:{taxonomy}")), len(STRATEGIES[taxonomy])
    sizes = {"state": width, "eligible": many}
    return Contract(
        model,
        [Tensor(name, "FP32", (ANY, sizes[name])) for name in INPUTS],
        [Tensor(OUTPUT, "FP32", (ANY, many))],
        f"Name a policy model of the taxonomy {taxonomy} in MULTIMOOD_STRATEGIST_POLICY_MODEL, or leave it empty",
    )
