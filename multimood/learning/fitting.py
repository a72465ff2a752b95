"""Minimising a smooth loss in rounds, each of which depends on nothing but where the last one ended.

So a fit that was killed goes on at the last round's end, and ends where it would have.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from scipy import optimize

from multimood.learning.learner import Watch
from multimood.learning.network import Array, Layer

ITERATIONS: Final = 20
"""Of L-BFGS (Liu and Nocedal 1989), in a round."""
ROUNDS: Final = 15

Loss = Callable[[Array], tuple[float, Array]]
"""Coefficients [p] to the loss and its gradient [p]."""


def minimise(name: str, loss: Loss, start: Array, watch: Watch, rounds: int = ROUNDS) -> Array:
    """Coefficients [p] that make the loss small; `name` tells a learner's fits apart where it has several."""
    done, at = 0, start
    if (kept := watch.kept()) is not None and f"{name}.at" in kept:
        done, at = int(kept[f"{name}.round"]), kept[f"{name}.at"]
    before = {} if kept is None else {key: value for key, value in kept.items() if not key.startswith(f"{name}.")}
    while done < rounds:
        watch.advance(name, done, rounds)
        found = optimize.minimize(loss, at, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS})
        at = np.asarray(found.x, np.float64)
        done = done + 1 if found.nit >= ITERATIONS else rounds
        watch.keep({**before, f"{name}.round": np.array(done), f"{name}.at": at})
    watch.advance(name, rounds, rounds)
    return at


def layer_of(coefficients: Array, strategies: int) -> Layer:
    """[(d + 1) k] -> weights [d, k], bias [k]."""
    table = coefficients.reshape(-1, strategies)
    return Layer(table[:-1], table[-1])
