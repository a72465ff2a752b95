"""Frames to what the face in them shows: detection, crop and expression in one graph, a row per frame."""

from pathlib import Path
from typing import Final

import numpy as np

from multimood.graphs import face_nets
from multimood.graphs.graph import Graph, Tensor
from multimood.graphs.weights import read_tfjs

SIDE: Final = 448
"""Of a frame, in pixels. A fixed size bounds the server's memory."""
THRESHOLD: Final = 0.5
"""Score above which a box is a face."""


def build(weights_folder: Path) -> Graph:
    """Build frames uint8 [n, 448, 448, 3] -> face float32 [n, 5], features [n, 256], probs [n, 7].

    A frame is RGB and zero-padded to a square at the bottom or right. `face` is the largest one above the threshold:
    centre x and y, width, height, as fractions of the frame, and the score. Without one all of the row is 0.
    """
    graph = Graph("video_encoder")
    frames = graph.input("frames", "uint8", ["n", SIDE, SIDE, 3])
    pixels = graph.op("Transpose", graph.op("Cast", frames, to=1), perm=[0, 3, 1, 2])
    small = _shrunk(graph, pixels)
    boxes = face_nets.detect(graph, read_tfjs(weights_folder, face_nets.DETECTOR), small)
    face = _largest(graph, boxes)
    crop = _crop(graph, pixels, face)
    features, probs = face_nets.express(graph, read_tfjs(weights_folder, face_nets.EXPRESSION), crop)

    found = graph.op("Greater", graph.op("Slice", face, [4], [5], [1]), THRESHOLD)
    rows = (("face", face, 5), ("features", features, 256), ("probs", probs, len(face_nets.LABELS)))
    for name, value, width in rows:
        graph.output(name, graph.op("Where", found, value, 0.0), ["n", width])
    return graph


def _shrunk(graph: Graph, pixels: Tensor) -> Tensor:
    ratio = face_nets.DETECTOR_SIDE / SIDE
    return graph.op(
        "Resize", pixels, None, [1.0, 1.0, ratio, ratio],
        mode="linear", coordinate_transformation_mode="half_pixel",
    )  # fmt: skip


def _largest(graph: Graph, boxes: Tensor) -> Tensor:
    """[n, boxes, 5] -> [n, 5]: the box of largest area among the faces, any box where there is none."""
    _, _, width, height, score = graph.ops("Split", 5, boxes, axis=2)
    is_face = graph.op("Cast", graph.op("Greater", score, THRESHOLD), to=1)
    area = graph.op("Mul", graph.op("Mul", width, height), is_face)
    index = graph.op("Expand", graph.op("ArgMax", area, axis=1, keepdims=1), [1, 1, 5])
    return graph.op("Squeeze", graph.op("GatherElements", boxes, index, axis=1), [1])


def _crop(graph: Graph, pixels: Tensor, face: Tensor) -> Tensor:
    """Cut out a square around each box, [n, 3, 112, 112]; what lies beside the box is black, as face-api pads it."""
    side = face_nets.EXPRESSION_SIDE
    centre, extent = graph.ops("Split", 2, graph.op("Slice", face, [0], [4], [1]), axis=1)
    longer = graph.op("ReduceMax", extent, axes=[1], keepdims=1)
    reach = graph.op("Div", longer, 2.0)
    corners = graph.op("Concat", graph.op("Sub", centre, reach), graph.op("Add", centre, reach), axis=1)
    count = graph.op("Squeeze", graph.op("Slice", graph.op("Shape", pixels), [0], [1]), [0])
    square = graph.op(
        "RoiAlign", pixels, graph.op("Mul", corners, float(SIDE)), graph.op("Range", 0, count, 1),
        output_height=side, output_width=side, sampling_ratio=1, mode="avg",
    )  # fmt: skip
    distance = np.abs((np.arange(side, dtype=np.float32) + 0.5) / side - 0.5)  # of a pixel from the middle
    half = graph.op("Unsqueeze", graph.op("Div", graph.op("Div", extent, longer), 2.0), [2, 3])
    half_width, half_height = graph.ops("Split", 2, half, axis=1)
    inside = graph.op(
        "And",
        graph.op("Less", distance.reshape(1, 1, 1, side), half_width),
        graph.op("Less", distance.reshape(1, 1, side, 1), half_height),
    )
    return graph.op("Mul", square, graph.op("Cast", inside, to=1))
