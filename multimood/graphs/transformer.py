"""The parts that the text and the audio encoder share (Vaswani et al. 2017), on float32 [b, t, d]."""

import math
from typing import Final

import numpy as np

from multimood.graphs.graph import Graph, Tensor
from multimood.graphs.weights import Array

HIDDEN: Final = -1e9
"""Added to the score of a position that must not be attended to."""


def linear(graph: Graph, x: Tensor, weight: Array, bias: Array) -> Tensor:
    """Compute x W' + b; `weight` is [out, in]."""
    return graph.op("Add", graph.op("MatMul", x, weight.T), bias)


def gelu(graph: Graph, x: Tensor) -> Tensor:
    """Compute x (1 + erf(x / sqrt 2)) / 2, in the order in which ONNX Runtime fuses it into one operator."""
    gate = graph.op("Add", graph.op("Erf", graph.op("Div", x, math.sqrt(2))), 1.0)
    return graph.op("Mul", graph.op("Mul", x, gate), 0.5)


def layer_norm(graph: Graph, x: Tensor, scale: Array, shift: Array, epsilon: float) -> Tensor:
    """Normalise each vector to mean 0 and variance 1, then scale and shift it."""
    return graph.op("LayerNormalization", x, scale, shift, axis=-1, epsilon=epsilon)


def self_attention(
    graph: Graph, x: Tensor, weight: Array, bias: Array, *, heads: int, mask: Tensor | None = None
) -> Tensor:
    """Attend with `heads` heads: softmax(q k' / sqrt d_head + mask) v, before the output projection.

    `weight` [3 d, d] and `bias` [3 d] are those of query, key and value together, so that one product makes all three.
    `mask`, broadcast over [b, heads, t, t], is added to the scores.
    """
    width = weight.shape[1]
    # 1 / sqrt(d_head) is folded into the query's weights.
    scale = np.repeat(np.array([(width / heads) ** -0.5, 1, 1], np.float32), width)
    joint = linear(graph, x, weight * scale[:, None], bias * scale)
    parts = graph.ops("Split", 3, graph.op("Reshape", joint, [0, 0, 3, heads, width // heads]), axis=2)
    query, key, value = (graph.op("Squeeze", part, [2]) for part in parts)
    scores = graph.op(
        "MatMul", graph.op("Transpose", query, perm=[0, 2, 1, 3]), graph.op("Transpose", key, perm=[0, 2, 3, 1])
    )
    if mask is not None:
        scores = graph.op("Add", scores, mask)
    mixed = graph.op("MatMul", graph.op("Softmax", scores, axis=-1), graph.op("Transpose", value, perm=[0, 2, 1, 3]))
    return graph.op("Reshape", graph.op("Transpose", mixed, perm=[0, 2, 1, 3]), [0, 0, width])
