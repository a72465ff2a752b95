"""The fusion model as an ONNX graph: vectors, presence and history in, the decision's distributions out.

    text [b, 384], audio [b, 768], video [b, 512], present [b, 3], history [b, 20]  ->
    emotion [b, 8], modality_emotion [b, 3, 8], intensity [b, 1], stage [b, 3], system_emotion [b, 8],
    strategy_mesc [b, 10], strategy_esconv [b, 8]          all float32, all distributions sum to 1

An absent modality's vector is never looked at, not even when it is not a number; its row of `modality_emotion` is
uniform.
"""

from typing import Final

import numpy as np

from multimood.graphs.graph import Graph, Tensor
from multimood.history import SIZE
from multimood.taxonomy import EMOTIONS, MODALITIES
from multimood.training.fusion.network import Network
from multimood.training.fusion.parameters import DEPRESSION, SADNESS, Parameters
from multimood.training.fusion.support import KNOTS, LEARNED

WIDTHS: Final = (("text", 384), ("audio", 768), ("video", 512))
OUTPUTS: Final = (*LEARNED, ("system_emotion", EMOTIONS))
_SANE: Final = np.float32(1e4)
"""A component beyond this, or none at all (NaN), counts as zero: one broken number must not decide."""
_ZERO: Final = np.float32(0)
_ONE: Final = np.float32(1)
_UNIFORM: Final = np.full((1, len(EMOTIONS)), 1 / len(EMOTIONS), np.float32)
_FLOAT, _INT64 = 1, 7
_TEXT, _AUDIO = 0, 1


def build(parameters: Parameters) -> Graph:
    """Write the operators; `Graph.save` makes the file."""
    return _Writer(parameters).graph


class _Writer:
    """Writes the graph part by part; tensors that several parts need are attributes."""

    def __init__(self, parameters: Parameters) -> None:
        self.graph = graph = Graph("fusion")
        self._learned = parameters
        vectors = [graph.input(name, "float32", ["b", width]) for name, width in WIDTHS]
        present = graph.input("present", "float32", ["b", len(MODALITIES)])
        history = graph.input("history", "float32", ["b", SIZE])
        self._here = graph.op("Greater", present, np.float32(0.5))
        self._history = graph.op("Where", self._is_sane(history), history, _ZERO)
        self._inputs = [self._seen(vector, place) for place, vector in enumerate(vectors)]
        logits = self._logits()
        self._emotion = self._fused(logits)
        graph.output("emotion", self._emotion, ["b", len(EMOTIONS)])
        graph.output("modality_emotion", self._each(logits), ["b", len(MODALITIES), len(EMOTIONS)])
        graph.output("intensity", self._intensity(), ["b", 1])
        self._support()

    # --- inputs ----------------------------------------------------------------------------------------------------

    def _is_sane(self, x: Tensor) -> Tensor:
        return self.graph.op("Less", self.graph.op("Abs", x), _SANE)

    def _is_here(self, place: int) -> Tensor:
        return self._columns(self._here, place, place + 1)

    def _seen(self, x: Tensor, place: int) -> Tensor:
        """What is to be looked at: nothing of an absent modality, and nothing beyond the bounds."""
        usable = self.graph.op("And", self._is_sane(x), self._is_here(place))
        seen = self.graph.op("Where", usable, x, _ZERO)
        if place == _TEXT:
            return seen
        low, high = self._learned.bounds[place - 1]
        return self.graph.op("Min", self.graph.op("Max", seen, low), high)

    def _columns(self, x: Tensor, start: int, end: int) -> Tensor:
        return self.graph.op("Slice", x, [start], [end], [1])

    def _network(self, x: Tensor, network: Network) -> Tensor:
        graph = self.graph
        if network.inner is not None:
            x = graph.op("Relu", graph.op("Add", graph.op("MatMul", x, network.inner), network.inner_bias))
        return graph.op("Add", graph.op("MatMul", x, network.outer), network.outer_bias)

    # --- emotion ---------------------------------------------------------------------------------------------------

    def _logits(self) -> list[Tensor]:
        """Of each modality, calibrated."""
        learned = self._learned
        heads = zip(self._inputs, (learned.text, learned.audio, learned.video), learned.temperatures, strict=True)
        return [self.graph.op("Div", self._network(x, head), np.float32(degree)) for x, head, degree in heads]

    def _each(self, logits: list[Tensor]) -> Tensor:
        graph = self.graph
        rows = []
        for place, of_one in enumerate(logits):
            share = graph.op("Where", self._is_here(place), graph.op("Softmax", of_one, axis=-1), _UNIFORM)
            rows.append(graph.op("Unsqueeze", share, [1]))
        return graph.op("Concat", *rows, axis=1)

    def _fused(self, logits: list[Tensor]) -> Tensor:
        graph, learned = self.graph, self._learned
        flags = graph.op("Cast", self._here, to=_FLOAT)
        # The mask's number: text + 2 audio + 4 video.
        mask = graph.op("ReduceSum", graph.op("Mul", flags, [1.0, 2.0, 4.0]), [1], keepdims=0)
        mask = graph.op("Cast", mask, to=_INT64)
        weights = graph.op("Mul", graph.op("Gather", learned.weights, mask), flags)
        total = graph.op("Gather", learned.offsets, mask)
        for place, of_one in enumerate(logits):
            vote = graph.op("LogSoftmax", of_one, axis=-1)
            if place != _TEXT:  # sound and picture know no depression: what they say of sadness counts for it, too
                order = [SADNESS if place == DEPRESSION else place for place in range(len(EMOTIONS))]
                vote = graph.op("Gather", vote, order, axis=1)
            total = graph.op("Add", total, graph.op("Mul", vote, self._columns(weights, place, place + 1)))
        before = graph.op("MatMul", self._columns(self._history, 0, len(EMOTIONS)), learned.inertia)
        shift = graph.op("Mul", self._columns(self._history, SIZE - 1, SIZE), learned.shift[None])
        return graph.op("Softmax", graph.op("Add", total, graph.op("Add", before, shift)), axis=-1)

    # --- the rest --------------------------------------------------------------------------------------------------

    def _intensity(self) -> Tensor:
        """By the words where there are words, else by the voice, else what is usual."""
        graph, intensity = self.graph, self._learned.support.intensity
        said = graph.op("MatMul", self._inputs[_TEXT], intensity.slopes[:, None])
        said = graph.op("Add", said, np.float32(intensity.bias))
        strong = graph.op("Softmax", self._network(self._inputs[_AUDIO], self._learned.arousal), axis=-1)
        usual = np.full((1, 1), intensity.mean, np.float32)
        heard = graph.op("Where", self._is_here(_AUDIO), self._columns(strong, 0, 1), usual)
        return graph.op("Clip", graph.op("Where", self._is_here(_TEXT), said, heard), _ZERO, _ONE)

    def _support(self) -> None:
        """Strategy, stage and the system's emotion: by the words where there are words."""
        graph, support = self.graph, self._learned.support
        step = self._columns(self._history, SIZE - 2, SIZE - 1)
        pace = graph.op("Relu", graph.op("Sub", step, np.array([KNOTS], np.float32)))
        context = graph.op("Concat", self._emotion, self._history, pace, axis=1)
        both = graph.op("Concat", self._inputs[_TEXT], context, axis=1)
        for name, labels in LEARNED:
            worded, wordless = self._network(both, support.worded[name]), self._network(context, support.wordless[name])
            logits = graph.op("Where", self._is_here(_TEXT), worded, wordless)
            graph.output(name, graph.op("Softmax", logits, axis=-1), ["b", len(labels)])
        usual = graph.op("Add", graph.op("Mul", self._emotion, _ZERO), support.system_emotion[None])
        graph.output("system_emotion", graph.op("Softmax", usual, axis=-1), ["b", len(EMOTIONS)])
