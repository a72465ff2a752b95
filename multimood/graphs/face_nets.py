"""The two nets of face-api (Mühler 2018), with the weights of @vladmandic/face-api.

Pixels are float32, RGB, 0..255, [n, 3, h, w].
"""

from typing import Final

import numpy as np

from multimood.graphs.graph import Graph, Tensor
from multimood.graphs.weights import Array, Weights

DETECTOR: Final = "tiny_face_detector_model"
EXPRESSION: Final = "face_expression_model"
DETECTOR_SIDE: Final = 224
EXPRESSION_SIDE: Final = 112
LABELS: Final = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")

_CELL: Final = 32
_ANCHORS: Final = (
    (1.603231, 2.094468),
    (6.041143, 7.080126),
    (2.882459, 3.518061),
    (4.266906, 5.178857),
    (9.041765, 10.66308),
)
"""Width and height of the five kinds of boxes, in cells."""
_LARGEST_EXPONENT: Final = 4.0
"""A box's size is exp of what the net says, times its anchor. Faces stay below 2; pixels made to provoke more must
not give infinite boxes, which the crop cannot take."""


def detect(graph: Graph, weights: Weights, pixels: Tensor) -> Tensor:
    """Run TinyFaceDetector (after YOLO v2) on 224 x 224 pixels -> boxes [n, 245, 5].

    Each is centre x and y, width, height, as fractions of the picture, and a score 0..1.
    """
    x = _normalised(graph, pixels, (117.001, 114.697, 97.404))
    for index in range(6):
        name = f"conv{index}"
        if index == 0:  # this one alone is without padding
            x = graph.op("Conv", x, weights[f"{name}/filters"], weights[f"{name}/bias"])
        else:
            x = _separable(graph, weights, name, x)
        x = graph.op("LeakyRelu", x, alpha=0.1)
        # MaxPool pads with minus infinity; zeros at the border would make false faces there.
        step = 1 if index == 5 else 2  # noqa: PLR2004 - the last layer keeps its size
        x = graph.op("MaxPool", x, kernel_shape=[2, 2], strides=[step, step], auto_pad="SAME_UPPER")
    x = graph.op("Conv", x, weights["conv8/filters"], weights["conv8/bias"])
    return _boxes(graph, x)


def express(graph: Graph, weights: Weights, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Run FaceExpressionNet on 112 x 112 pixels -> features [n, 256] and probabilities [n, 7], in the order of LABELS.

    Four blocks of depthwise separable convolutions, densely connected (Huang et al. 2017) by sums.
    """
    x = _normalised(graph, pixels, (122.782, 117.001, 104.298))
    for block in range(4):
        name = f"dense{block}"
        if block == 0:
            filters, bias = weights[f"{name}/conv0/filters"], weights[f"{name}/conv0/bias"]
            x = graph.op("Conv", x, filters, bias, strides=[2, 2], auto_pad="SAME_UPPER")
        else:
            x = _separable(graph, weights, f"{name}/conv0", x, stride=2)
        total = x = graph.op("Relu", x)
        for index in (1, 2, 3):
            total = graph.op("Add", total, _separable(graph, weights, f"{name}/conv{index}", x))
            x = graph.op("Relu", total)
    features = graph.op("Flatten", graph.op("GlobalAveragePool", x))
    logits = graph.op("Gemm", features, weights["fc/weights"], weights["fc/bias"])
    return features, graph.op("Softmax", logits, axis=-1)


def _boxes(graph: Graph, x: Tensor) -> Tensor:
    """[n, 25, 7, 7] -> [n, 245, 5]: in each cell, five boxes of centre, size and score."""
    cells = DETECTOR_SIDE // _CELL
    x = graph.op("Transpose", graph.op("Reshape", x, [0, 5, 5, cells, cells]), perm=[0, 3, 4, 1, 2])
    x = graph.op("Reshape", x, [0, cells * cells * 5, 5])
    centre, size, score = graph.ops("Split", 3, x, [2, 2, 1], axis=2)
    row, column = np.mgrid[:cells, :cells].astype(np.float32)
    corners = np.repeat(np.stack([column, row], axis=-1).reshape(-1, 2), len(_ANCHORS), axis=0)
    anchors = np.tile(np.array(_ANCHORS, np.float32), (cells * cells, 1)) / cells
    centre = graph.op("Div", graph.op("Add", graph.op("Sigmoid", centre), corners), float(cells))
    size = graph.op("Mul", graph.op("Exp", graph.op("Min", size, _LARGEST_EXPONENT)), anchors)
    return graph.op("Concat", centre, size, graph.op("Sigmoid", score), axis=2)


def _normalised(graph: Graph, pixels: Tensor, mean: tuple[float, float, float]) -> Tensor:
    shift: Array = np.array(mean, np.float32).reshape(1, 3, 1, 1)
    return graph.op("Div", graph.op("Sub", pixels, shift), 255.0)


def _separable(graph: Graph, weights: Weights, name: str, x: Tensor, stride: int = 1) -> Tensor:
    """Convolve each channel with its own 3 x 3 filter, then mix the channels."""
    depthwise = weights[f"{name}/depthwise_filter"]
    x = graph.op("Conv", x, depthwise, strides=[stride, stride], auto_pad="SAME_UPPER", group=depthwise.shape[0])
    return graph.op("Conv", x, weights[f"{name}/pointwise_filter"], weights[f"{name}/bias"])
