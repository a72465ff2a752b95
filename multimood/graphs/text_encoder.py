"""all-MiniLM-L6-v2 (Reimers and Gurevych 2019; Wang et al. 2020): six BERT layers, mean pooling, unit length."""

from pathlib import Path
from typing import Final

import numpy as np

from multimood.graphs.graph import Graph, Tensor
from multimood.graphs.transformer import HIDDEN, gelu, layer_norm, linear, self_attention
from multimood.graphs.weights import Weights, read_safetensors

LAYERS: Final = 6
HEADS: Final = 12
WIDTH: Final = 384
EPSILON: Final = 1e-12


def build(weights_file: Path) -> Graph:
    """Build input_ids, attention_mask int64 [b, t] (t <= 512) -> embedding float32 [b, 384], of length 1.

    Positions with mask 0 have no influence; where all are 0 the embedding is 0.
    """
    weights = read_safetensors(weights_file)
    graph = Graph("text_encoder")
    ids = graph.input("input_ids", "int64", ["b", "t"])
    mask = graph.op("Cast", graph.input("attention_mask", "int64", ["b", "t"]), to=1)
    hide = graph.op("Unsqueeze", graph.op("Mul", graph.op("Sub", 1.0, mask), HIDDEN), [1, 2])
    x = _embedded(graph, weights, ids)
    for index in range(LAYERS):
        x = _layer(graph, weights, f"encoder.layer.{index}", x, hide)
    graph.output("embedding", _pooled(graph, x, mask), ["b", WIDTH])
    return graph


def _embedded(graph: Graph, weights: Weights, ids: Tensor) -> Tensor:
    # A single text is of one segment, so the segment's vector is part of every position's.
    places = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    length = graph.op("Slice", graph.op("Shape", ids), [1], [2])
    words = graph.op("Gather", weights["embeddings.word_embeddings.weight"], ids)
    x = graph.op("Add", words, graph.op("Slice", places, [0], length, [0]))
    return _norm(graph, weights, "embeddings.LayerNorm", x)


def _layer(graph: Graph, weights: Weights, prefix: str, x: Tensor, hide: Tensor) -> Tensor:
    names = [f"{prefix}.attention.self.{part}" for part in ("query", "key", "value")]
    weight, bias = (np.concatenate([weights[f"{name}.{kind}"] for name in names]) for kind in ("weight", "bias"))
    context = self_attention(graph, x, weight, bias, heads=HEADS, mask=hide)
    attended = _dense(graph, weights, f"{prefix}.attention.output.dense", context)
    x = _norm(graph, weights, f"{prefix}.attention.output.LayerNorm", graph.op("Add", x, attended))
    wide = gelu(graph, _dense(graph, weights, f"{prefix}.intermediate.dense", x))
    narrow = _dense(graph, weights, f"{prefix}.output.dense", wide)
    return _norm(graph, weights, f"{prefix}.output.LayerNorm", graph.op("Add", x, narrow))


def _pooled(graph: Graph, x: Tensor, mask: Tensor) -> Tensor:
    keep = graph.op("Unsqueeze", mask, [2])
    count = graph.op("Max", graph.op("ReduceSum", keep, [1], keepdims=0), 1.0)
    mean = graph.op("Div", graph.op("ReduceSum", graph.op("Mul", x, keep), [1], keepdims=0), count)
    length = graph.op("Max", graph.op("ReduceL2", mean, axes=[1], keepdims=1), EPSILON)
    return graph.op("Div", mean, length)


def _norm(graph: Graph, weights: Weights, prefix: str, x: Tensor) -> Tensor:
    return layer_norm(graph, x, weights[f"{prefix}.weight"], weights[f"{prefix}.bias"], EPSILON)


def _dense(graph: Graph, weights: Weights, prefix: str, x: Tensor) -> Tensor:
    return linear(graph, x, weights[f"{prefix}.weight"], weights[f"{prefix}.bias"])
