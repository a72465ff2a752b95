"""The encoder of Whisper tiny.en (Radford et al. 2022): how speech sounds, read off each of its four layers."""

from pathlib import Path
from typing import Final

from multimood.graphs.adapter import Adapter
from multimood.graphs.graph import Graph, Tensor
from multimood.graphs.transformer import gelu, layer_norm, linear, self_attention
from multimood.graphs.weights import Weights, WeightsError, read_ctranslate2

LAYERS: Final = 4
HEADS: Final = 6
MELS: Final = 80
WIDTH: Final = 384
EPSILON: Final = 1e-5


RAW: Final = LAYERS * 2 * WIDTH
"""Values of a sound before the adapter: mean and deviation of each layer, side by side."""


def build(weights_file: Path, adapter: Adapter | None) -> Graph:
    """Build mel float32 [b, 80, t] (t <= 3000) -> embedding float32 [b, d], the adapter's view of the raw values.

    Without an adapter: -> pooled float32 [b, 4, 768], the raw values: mean and deviation of each layer. The first two
    layers' states carry the tone of voice, the later ones more and more of the words.

    Raises:
        WeightsError: the weights or the adapter are not those of this encoder.
    """
    if adapter is not None and len(adapter.mean) != RAW:
        raise WeightsError(f"the adapter takes {len(adapter.mean)} values, the encoder gives {RAW}")
    weights = read_ctranslate2(weights_file)
    graph = Graph("audio_encoder")
    x = _stem(graph, weights, graph.input("mel", "float32", ["b", MELS, "t"]))
    pooled = []
    for index in range(LAYERS):
        x = _layer(graph, weights, f"encoder/layer_{index}", x)
        state = _norm(graph, weights, "encoder/layer_norm", x) if index == LAYERS - 1 else x
        pooled.append(_pool(graph, state))
    layers = graph.op("Concat", *pooled, axis=1)
    if adapter is None:
        graph.output("pooled", layers, ["b", LAYERS, 2 * WIDTH])
    else:
        graph.output("embedding", adapt(graph, layers, adapter), ["b", adapter.projection.shape[1]])
    return graph


def adapt(graph: Graph, layers: Tensor, adapter: Adapter) -> Tensor:
    """Adapt raw values [b, 4, 768] to [b, d]."""
    raw = graph.op("Reshape", layers, [0, RAW])
    standard = graph.op("Div", graph.op("Sub", raw, adapter.mean), adapter.scale)
    return graph.op("MatMul", standard, adapter.projection)


def _stem(graph: Graph, weights: Weights, mel: Tensor) -> Tensor:
    """Two convolutions over time, the second one halving it, then the positions: [b, t / 2, 384]."""
    x = mel
    for name, stride in (("encoder/conv1", 1), ("encoder/conv2", 2)):
        filters, bias = weights[f"{name}/weight"], weights[f"{name}/bias"]
        x = gelu(graph, graph.op("Conv", x, filters, bias, pads=[1, 1], strides=[stride]))
    x = graph.op("Transpose", x, perm=[0, 2, 1])
    length = graph.op("Slice", graph.op("Shape", x), [1], [2])
    places = graph.op("Slice", weights["encoder/position_encodings/encodings"], [0], length, [0])
    return graph.op("Add", x, places)


def _layer(graph: Graph, weights: Weights, prefix: str, x: Tensor) -> Tensor:
    attention = f"{prefix}/self_attention"
    joint = weights[f"{attention}/linear_0/weight"], weights[f"{attention}/linear_0/bias"]
    context = self_attention(graph, _norm(graph, weights, f"{attention}/layer_norm", x), *joint, heads=HEADS)
    x = graph.op("Add", x, _dense(graph, weights, f"{attention}/linear_1", context))
    wide = _dense(graph, weights, f"{prefix}/ffn/linear_0", _norm(graph, weights, f"{prefix}/ffn/layer_norm", x))
    return graph.op("Add", x, _dense(graph, weights, f"{prefix}/ffn/linear_1", gelu(graph, wide)))


def _pool(graph: Graph, x: Tensor) -> Tensor:
    """[b, t, d] -> [b, 1, 2 d]: mean and standard deviation over time."""
    mean = graph.op("ReduceMean", x, axes=[1], keepdims=1)
    centred = graph.op("Sub", x, mean)
    variance = graph.op("ReduceMean", graph.op("Mul", centred, centred), axes=[1], keepdims=1)
    return graph.op("Concat", mean, graph.op("Sqrt", variance), axis=-1)


def _norm(graph: Graph, weights: Weights, prefix: str, x: Tensor) -> Tensor:
    return layer_norm(graph, x, weights[f"{prefix}/gamma"], weights[f"{prefix}/beta"], EPSILON)


def _dense(graph: Graph, weights: Weights, prefix: str, x: Tensor) -> Tensor:
    return linear(graph, x, weights[f"{prefix}/weight"], weights[f"{prefix}/bias"])
