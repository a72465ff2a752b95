"""Networks in .npz files."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from multimood.training.heads import Network

_NONE: Final = np.zeros((0, 1), np.float32)


def arrays_of(name: str, network: Network) -> dict[str, Any]:
    """The arrays of a network under names that begin with its own; a layer that it has not is empty."""
    inner = _NONE if network.inner is None else network.inner
    inner_bias = _NONE[:, 0] if network.inner_bias is None else network.inner_bias
    return {
        f"{name}_inner": inner,
        f"{name}_inner_bias": inner_bias,
        f"{name}_outer": network.outer,
        f"{name}_outer_bias": network.outer_bias,
    }


def network_of(name: str, arrays: Mapping[str, NDArray[Any]], width: int, size: int) -> Network:
    """The network that `arrays_of` wrote, which takes `width` values and gives `size`.

    Raises:
        KeyError: it is not there.
        ValueError: it takes or gives another number of values, or holds a number that is none.
    """
    inner, inner_bias = arrays[f"{name}_inner"], arrays[f"{name}_inner_bias"]
    outer, outer_bias = arrays[f"{name}_outer"], arrays[f"{name}_outer_bias"]
    hidden = inner.shape[1:] if inner.size else (width,)
    if inner.size and (inner.shape[:1] != (width,) or inner_bias.shape != hidden):
        raise ValueError(f"{name} takes {inner.shape}, expected {(width, *hidden)}")
    if outer.shape != (*hidden, size) or outer_bias.shape != (size,):
        raise ValueError(f"{name} gives {outer.shape}, expected {(*hidden, size)}")
    if not all(np.isfinite(array).all() for array in (inner, inner_bias, outer, outer_bias)):
        raise ValueError(f"{name} is not finite")
    return Network(inner if inner.size else None, inner_bias if inner.size else None, outer, outer_bias)
