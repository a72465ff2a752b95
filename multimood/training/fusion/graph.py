"""The fusion model as an ONNX graph.

    text [b, 384], audio [b, 256], video [b, 512], present [b, 3],
    past [b, 12, 384], marks [b, 12, 20], step [b, 1] (multimood.history)  ->
    emotion [b, 8], modality_emotion [b, 3, 8], intensity [b, 1], stage [b, 3], system_emotion [b, 8],
    strategy_mesc [b, 10], strategy_esconv [b, 8]          all float32, all distributions sum to 1

An absent modality's vector is never looked at, not even when it is not a number; its row of `modality_emotion` is
uniform.
"""

from typing import Final

import numpy as np

from multimood.graphs.graph import Graph, Tensor
from multimood.graphs.transformer import HIDDEN, gelu
from multimood.history import MARKS, TURNS, WIDTH
from multimood.taxonomy import EMOTIONS, ESCONV_STRATEGIES, MESC_STRATEGIES, MODALITIES, STAGES
from multimood.training.fusion.parameters import DEPRESSION, SADNESS, WORDS, Parameters
from multimood.training.fusion.shape import QUERIES
from multimood.training.heads import Network

WIDTHS: Final = (("text", WIDTH), ("audio", 256), ("video", 512))
OUTPUTS: Final = (
    ("strategy_mesc", MESC_STRATEGIES), ("strategy_esconv", ESCONV_STRATEGIES), ("stage", STAGES),
    ("system_emotion", EMOTIONS),
)  # fmt: skip
_SANE: Final = np.float32(1e4)
"""A component beyond this, or none at all (NaN), counts as zero: one broken number must not decide."""
_ZERO: Final = np.float32(0)
_UNIFORM: Final = np.full((1, len(EMOTIONS)), 1 / len(EMOTIONS), np.float32)
_FLOAT, _INT64 = 1, 7
_TEXT, _AUDIO, _VIDEO = range(len(MODALITIES))
_EPSILON: Final = 1e-5


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
        past = graph.input("past", "float32", ["b", TURNS, WIDTH])
        marks = graph.input("marks", "float32", ["b", TURNS, MARKS])
        step = graph.input("step", "float32", ["b", 1])
        self._here = graph.op("Greater", present, np.float32(0.5))
        self._inputs = [self._seen(vector, place) for place, vector in enumerate(vectors)]
        self._answers = self._dialogue(self._sane(past), self._sane(marks), self._sane(step))
        context = self._members("emotion", "feeling")
        rows = self._alone()
        graph.output("modality_emotion", graph.op("Concat", *rows, axis=1), ["b", len(MODALITIES), len(EMOTIONS)])
        emotion = self._fused(context)
        graph.output("emotion", emotion, ["b", len(EMOTIONS)])
        graph.output("intensity", self._intensity(), ["b", 1])
        for name, labels in OUTPUTS:
            logits = self._members(name, "support", emotion)
            graph.output(name, graph.op("Softmax", logits, axis=-1), ["b", len(labels)])

    # --- inputs ----------------------------------------------------------------------------------------------------

    def _sane(self, x: Tensor) -> Tensor:
        return self.graph.op("Where", self.graph.op("Less", self.graph.op("Abs", x), _SANE), x, _ZERO)

    def _is_here(self, place: int) -> Tensor:
        return self._columns(self._here, place, place + 1)

    def _seen(self, x: Tensor, place: int) -> Tensor:
        """What is to be looked at: nothing of an absent modality, and nothing beyond the bounds."""
        seen = self.graph.op("Where", self._is_here(place), self._sane(x), _ZERO)
        if place == _TEXT:  # of length 1: brought to components of about 1, which is what the networks were taught on
            return self.graph.op("Mul", seen, np.float32(np.sqrt(WIDTH)))
        low, high = self._learned.heads.bounds[place - 1]
        return self.graph.op("Min", self.graph.op("Max", seen, low), high)

    def _columns(self, x: Tensor, start: int, end: int) -> Tensor:
        return self.graph.op("Slice", x, [start], [end], [1])

    def _network(self, x: Tensor, network: Network) -> Tensor:
        graph = self.graph
        if network.inner is not None:
            inner = graph.op("MatMul", x, graph.half(network.inner))
            x = graph.op("Relu", graph.op("Add", inner, network.inner_bias))
        return graph.op("Add", graph.op("MatMul", x, graph.half(network.outer)), network.outer_bias)

    # --- the dialogue ----------------------------------------------------------------------------------------------

    def _weight(self, name: str) -> Tensor:
        """A weight [members, i, o] as it multiplies [members, b, t, i]."""
        return self.graph.half(self._learned.context[name][:, None])

    def _dialogue(self, past: Tensor, marks: Tensor, step: Tensor) -> Tensor:
        """What the queries find: [members, b, queries, d] (context.Context.forward, line by line)."""
        graph, shape, learned = self.graph, self._learned.shape, self._learned.context
        scaled = graph.op("Mul", past, np.float32(np.sqrt(WIDTH)))
        current = graph.op("Unsqueeze", self._inputs[_TEXT], [1])
        every = graph.op("Unsqueeze", graph.op("Concat", scaled, current, axis=1), [0])
        said = graph.op("Add", graph.op("MatMul", every, self._weight("words")), learned["places"][:, None])
        marked = graph.op("MatMul", graph.op("Unsqueeze", marks, [0]), self._weight("marks"))
        marked = graph.op("Pad", marked, [0, 0, 0, 0, 0, 0, 1, 0])  # the present turn has none
        paces = graph.op("Concat", step, graph.op("Sqrt", graph.op("Max", step, _ZERO)), self._ones(step), axis=1)
        pace = graph.op("MatMul", graph.op("Unsqueeze", paces, [0]), learned["pace"])
        asked = graph.op("Add", graph.op("Unsqueeze", pace, [2]), learned["queries"][:, None])
        x = graph.op("Concat", asked, graph.op("Add", said, marked), axis=2)
        whose = graph.op("Slice", marks, [0], [2], [2])
        there = graph.op("ReduceSum", whose, [2], keepdims=0)
        here = graph.op("Cast", self._is_here(_TEXT), to=_FLOAT)
        queries = graph.op("Concat", *[self._ones(step)] * len(QUERIES), axis=1)
        shown = graph.op("Concat", queries, there, here, axis=1)
        scores = graph.op("Mul", graph.op("Sub", np.float32(1), shown), np.float32(HIDDEN))
        scores = graph.op("Unsqueeze", scores, [0, 2, 3])
        for layer in range(shape.layers):
            x = graph.op("Add", x, self._attend(self._normed(x, f"before_{layer}"), scores, layer))
            wide = gelu(graph, self._linear(self._normed(x, f"between_{layer}"), f"inner_{layer}"))
            x = graph.op("Add", x, self._linear(wide, f"outer_{layer}"))
        answers = graph.op("Slice", x, [0], [len(QUERIES)], [2])
        return self._normed(answers, "last")

    def _ones(self, step: Tensor) -> Tensor:
        return self.graph.op("Add", self.graph.op("Mul", step, _ZERO), np.float32(1))

    def _attend(self, x: Tensor, scores: Tensor, layer: int) -> Tensor:
        graph, shape = self.graph, self._learned.shape
        e, d, heads = shape.members, shape.width, shape.heads
        joint = self._linear(x, f"joint_{layer}")
        length = TURNS + 1 + len(QUERIES)
        parts = graph.ops("Split", 3, graph.op("Reshape", joint, [e, -1, length, 3 * heads, d // heads]), axis=3)
        query, key, value = (graph.op("Transpose", part, perm=[0, 1, 3, 2, 4]) for part in parts)
        products = graph.op("MatMul", query, graph.op("Transpose", key, perm=[0, 1, 2, 4, 3]))
        products = graph.op("Mul", products, np.float32((d // heads) ** -0.5))
        weights = graph.op("Softmax", graph.op("Add", products, scores), axis=-1)
        mixed = graph.op("Transpose", graph.op("MatMul", weights, value), perm=[0, 1, 3, 2, 4])
        return self._linear(graph.op("Reshape", mixed, [e, -1, length, d]), f"mixed_{layer}")

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return self.graph.op(
            "Add", self.graph.op("MatMul", x, self._weight(name)), self._learned.context[f"{name}_bias"]
        )

    def _normed(self, x: Tensor, name: str) -> Tensor:
        graph, learned, d = self.graph, self._learned.context, self._learned.shape.width
        ones, zeros = np.ones(d, np.float32), np.zeros(d, np.float32)
        normal = graph.op("LayerNormalization", x, ones, zeros, axis=-1, epsilon=_EPSILON)
        return graph.op("Add", graph.op("Mul", normal, learned[f"{name}_scale"]), learned[f"{name}_shift"])

    def _members(self, name: str, query: str, felt: Tensor | None = None) -> Tensor:
        """Calibrated logits [b, size] of a head: the members' mean."""
        graph, learned, place = self.graph, self._learned, QUERIES.index(query)
        answer = graph.op("Squeeze", graph.op("Slice", self._answers, [place], [place + 1], [2]), [2])
        weight, width = learned.context[f"head_{name}"], learned.shape.width
        parts = [
            (answer, weight[:, :width]),
            (graph.op("Unsqueeze", self._inputs[_TEXT], [0]), weight[:, width : width + WIDTH]),
        ]
        if felt is not None:
            parts.append((graph.op("Unsqueeze", felt, [0]), weight[:, width + WIDTH :]))
        logits = None
        for x, part in parts:
            product = graph.op("MatMul", x, graph.half(part))
            logits = product if logits is None else graph.op("Add", logits, product)
        logits = graph.op("Add", logits, learned.context[f"head_{name}_bias"])
        mean = graph.op("ReduceMean", logits, axes=[0], keepdims=0)
        return graph.op("Div", mean, np.float32(learned.degrees[name]))

    # --- emotion ---------------------------------------------------------------------------------------------------

    def _alone(self) -> list[Tensor]:
        """What each modality says by itself, [b, 1, 8] each; `_votes`: the log-probabilities of sound and picture."""
        graph, heads = self.graph, self._learned.heads
        rows, self._votes = [], []
        networks = (heads.text, heads.audio, heads.video)
        for place, (x, network, degree) in enumerate(zip(self._inputs, networks, heads.temperatures, strict=True)):
            logits = graph.op("Div", self._network(x, network), np.float32(degree))
            share = graph.op("Where", self._is_here(place), graph.op("Softmax", logits, axis=-1), _UNIFORM)
            rows.append(graph.op("Unsqueeze", share, [1]))
            if place != _TEXT:
                # Sound and picture know no depression: what they say of sadness counts for it, too.
                order = [SADNESS if emotion == DEPRESSION else emotion for emotion in range(len(EMOTIONS))]
                self._votes.append(graph.op("Gather", graph.op("LogSoftmax", logits, axis=-1), order, axis=1))
        return rows

    def _fused(self, context: Tensor) -> Tensor:
        """parameters.Attention: what the dialogue says, where voice or face are there together with them."""
        graph, attention = self.graph, self._learned.attention
        flags = graph.op("Cast", self._here, to=_FLOAT)
        # The mask's number: text + 2 audio + 4 video.
        mask = graph.op("ReduceSum", graph.op("Mul", flags, [1.0, 2.0, 4.0]), [1], keepdims=0)
        mask = graph.op("Cast", mask, to=_INT64)
        others = graph.op("Unsqueeze", graph.op("Greater", mask, np.int64(WORDS)), [1])
        weights = graph.op("Gather", attention.weights, mask)
        total = graph.op("Gather", attention.offsets, mask)
        answer = graph.op("ReduceMean", self._answers, axes=[0], keepdims=0)
        answer = graph.op("Squeeze", graph.op("Slice", answer, [0], [1], [1]), [1])
        query = graph.op("MatMul", answer, attention.query)
        votes = (graph.op("LogSoftmax", context, axis=-1), *self._votes)
        for place, vote in enumerate(votes):
            key = graph.op("Add", graph.op("MatMul", vote, attention.keys[place]), attention.biases[place])
            score = graph.op("ReduceSum", graph.op("Mul", query, key), [1], keepdims=1)
            heard = graph.op("Mul", graph.op("Sigmoid", score), np.float32(2))
            weight = graph.op("Mul", heard, self._columns(weights, place, place + 1))
            share = graph.op("Mul", vote, weight)
            if place != _TEXT:
                share = graph.op("Where", self._is_here(place), share, _ZERO)
            total = graph.op("Add", total, share)
        return graph.op("Softmax", graph.op("Where", others, total, context), axis=-1)

    def _intensity(self) -> Tensor:
        """By the dialogue; where there are no words, by the voice as far as there is one."""
        graph = self.graph
        told = graph.op("Sigmoid", self._members("intensity", "feeling"))
        strong = graph.op("Softmax", self._network(self._inputs[_AUDIO], self._learned.heads.arousal), axis=-1)
        heard = graph.op("Where", self._is_here(_AUDIO), self._columns(strong, 0, 1), told)
        return graph.op("Where", self._is_here(_TEXT), told, heard)
