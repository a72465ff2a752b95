"""all-mpnet-base-v2 (Song et al. 2020; Reimers and Gurevych 2019): its first eight layers, taught about feelings.

What `multimood train text` taught it lies apart, as low-rank changes of some layers' weights and a projection
(`Adapter`), and is joined with the pretrained weights here.
"""

import io
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from multimood import assets
from multimood.graphs.graph import Graph, Tensor
from multimood.graphs.transformer import HIDDEN, gelu, layer_norm, linear, self_attention
from multimood.graphs.weights import Array, Weights, WeightsError, read_safetensors

LAYERS: Final = 8
"""Of twelve: the upper ones were trained to compare texts, and what is taught here is learned better below them."""
HEADS: Final = 12
WIDTH: Final = 768
EMBEDDING: Final = 384
TOKENS: Final = 256
"""Longer texts are cut."""
EPSILON: Final = 1e-5
_PADDING: Final = 1
_BUCKETS: Final = 32
_FARTHEST: Final = 128

CHANGES: Final = (".down", ".up")
FILE: Final = "text_adapter.npz"
REMEDY: Final = "make one with `multimood train text`"

Adapter = Mapping[str, Array]


def read_adapter(path: Path | None = None) -> Adapter:
    """Read the shipped adapter, or one made by `multimood train text`.

    Raises:
        WeightsError: the file holds no adapter.
        ConfigurationError: it cannot be read.
    """
    content = assets.read(FILE, path)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            adapter = {name: arrays[name].astype(np.float32) for name in arrays.files}
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path or FILE} holds no adapter: {REMEDY}") from error
    for name, shape in (("mean", (WIDTH,)), ("projection", (WIDTH, EMBEDDING))):
        if name not in adapter or adapter[name].shape != shape:
            raise WeightsError(f"{path or FILE} has no {name} of shape {list(shape)}: {REMEDY}")
    return adapter


def build(weights_file: Path, adapter: Adapter) -> Graph:
    """Build input_ids, attention_mask int64 [b, t] (t <= 256) -> embedding float32 [b, 384], of length 1.

    Positions with mask 0 have no influence. The adapter has for a weight W [o, i] named n the arrays `n.down` [r, i]
    and `n.up` [o, r]: W + up down is used in its place (Hu et al., ICLR 2022). Of the mean over the text, its `mean`
    [768] is taken away, and the rest is projected by its `projection` [768, 384].

    Raises:
        WeightsError: the adapter changes what is not there, or a file is no file of weights.
    """
    weights = adapted(read_safetensors(weights_file), adapter)
    graph = Graph("text_encoder")
    ids = graph.input("input_ids", "int64", ["b", "t"])
    mask = graph.op("Cast", graph.input("attention_mask", "int64", ["b", "t"]), to=1)
    length = graph.op("Slice", graph.op("Shape", ids), [1], [2])
    hide = graph.op("Unsqueeze", graph.op("Mul", graph.op("Sub", 1.0, mask), HIDDEN), [1, 2])
    scores = graph.op("Add", _distances(graph, weights["encoder.relative_attention_bias.weight"], length), hide)
    x = _embedded(graph, weights, ids, length)
    for index in range(LAYERS):
        x = _layer(graph, weights, f"encoder.layer.{index}", x, scores)
    centred = graph.op("Sub", _pooled(graph, x, mask), adapter["mean"])
    graph.output("embedding", _unit(graph, graph.op("MatMul", centred, adapter["projection"])), ["b", EMBEDDING])
    return graph


def adapted(weights: Weights, adapter: Adapter) -> Weights:
    """The weights with the adapter's changes added.

    Raises:
        WeightsError: it changes what is not there.
    """
    changed = dict(weights)
    for name in sorted({key.rpartition(".")[0] for key in adapter if key.endswith(CHANGES)}):
        if name not in weights or any(name + change not in adapter for change in CHANGES):
            raise WeightsError(f"{FILE} changes {name}, which is not there: {REMEDY}")
        changed[name] = weights[name] + _product(adapter[f"{name}.up"], adapter[f"{name}.down"])
    return changed


def _product(up: Array, down: Array) -> Array:
    """Multiply [o, r] by [r, i], in the order of r: the same bits on every machine, which BLAS does not promise."""
    total = np.zeros((up.shape[0], down.shape[1]), np.float32)
    for column, row in zip(up.T, down, strict=True):
        total += column[:, None] * row
    return total


def buckets(most: int) -> NDArray[np.int64]:
    """Which of the 32 kinds of distance lies from each position (row) to each (column): int64 [most, most].

    Half of them for each direction; near distances have one each, farther ones share in logarithmic steps.
    """
    distance = np.arange(most)[:, None] - np.arange(most)[None]  # positive: looks back
    half = _BUCKETS // 2
    near = half // 2
    far = np.abs(distance)
    steps = np.log(np.maximum(far, 1) / near) / math.log(_FARTHEST / near) * (half - near)
    kind = np.where(far < near, far, np.minimum(near + steps.astype(np.int64), half - 1))
    found: NDArray[np.int64] = kind + np.where(distance < 0, half, 0)
    return found


def _distances(graph: Graph, kinds: Array, length: Tensor) -> Tensor:
    """What the distance of two positions adds to their scores: [1, heads, t, t]."""
    every = kinds[buckets(TOKENS)].transpose(2, 0, 1)[None]
    both = graph.op("Concat", length, length, axis=0)
    return graph.op("Slice", np.ascontiguousarray(every), [0, 0], both, [2, 3])


def _embedded(graph: Graph, weights: Weights, ids: Tensor, length: Tensor) -> Tensor:
    places = weights["embeddings.position_embeddings.weight"][_PADDING + 1 :]
    words = graph.op("Gather", weights["embeddings.word_embeddings.weight"], ids)
    x = graph.op("Add", words, graph.op("Slice", places, [0], length, [0]))
    return _norm(graph, weights, "embeddings.LayerNorm", x)


def _layer(graph: Graph, weights: Weights, prefix: str, x: Tensor, scores: Tensor) -> Tensor:
    names = [f"{prefix}.attention.attn.{part}" for part in "qkv"]
    weight, bias = (np.concatenate([weights[f"{name}.{kind}"] for name in names]) for kind in ("weight", "bias"))
    context = self_attention(graph, x, weight, bias, heads=HEADS, mask=scores)
    attended = _dense(graph, weights, f"{prefix}.attention.attn.o", context)
    x = _norm(graph, weights, f"{prefix}.attention.LayerNorm", graph.op("Add", x, attended))
    wide = gelu(graph, _dense(graph, weights, f"{prefix}.intermediate.dense", x))
    narrow = _dense(graph, weights, f"{prefix}.output.dense", wide)
    return _norm(graph, weights, f"{prefix}.output.LayerNorm", graph.op("Add", x, narrow))


def _pooled(graph: Graph, x: Tensor, mask: Tensor) -> Tensor:
    keep = graph.op("Unsqueeze", mask, [2])
    count = graph.op("Max", graph.op("ReduceSum", keep, [1], keepdims=0), 1.0)
    return graph.op("Div", graph.op("ReduceSum", graph.op("Mul", x, keep), [1], keepdims=0), count)


def _unit(graph: Graph, x: Tensor) -> Tensor:
    length = graph.op("Max", graph.op("ReduceL2", x, axes=[1], keepdims=1), EPSILON)
    return graph.op("Div", x, length)


def _norm(graph: Graph, weights: Weights, prefix: str, x: Tensor) -> Tensor:
    return layer_norm(graph, x, weights[f"{prefix}.weight"], weights[f"{prefix}.bias"], EPSILON)


def _dense(graph: Graph, weights: Weights, prefix: str, x: Tensor) -> Tensor:
    return linear(graph, x, weights[f"{prefix}.weight"], weights[f"{prefix}.bias"])
