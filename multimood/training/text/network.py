"""all-mpnet-base-v2's first layers in torch, the upper ones with low-rank changes that can be learned."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from multimood.graphs.text_encoder import EPSILON, HEADS, LAYERS, WIDTH, buckets
from multimood.graphs.weights import Weights

RANK: Final = 16
FROZEN: Final = 4
"""The lowest layers stay as they are; what they make of the texts is computed once."""
LINEARS: Final = (
    "attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o",
    "intermediate.dense", "output.dense",
)  # fmt: skip
_PADDING: Final = 1
_HIDDEN: Final = -1e9
_STEP: Final = 2.0
"""Times which a change counts: alpha / rank of LoRA."""


class Changed(nn.Module):  # type: ignore[misc,unused-ignore]
    """x W' + b with W + step * up down in place of W (Hu et al., ICLR 2022); `up` begins at zero."""

    def __init__(self, weight: Tensor, bias: Tensor, rank: int) -> None:
        super().__init__()
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("bias", bias, persistent=False)
        self.down = nn.Parameter(torch.randn(rank, weight.shape[1]) / math.sqrt(weight.shape[1]))
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank))

    def forward(self, x: Tensor) -> Tensor:
        """[..., i] -> [..., o]."""
        return functional.linear(x, self.weight, self.bias) + functional.linear(
            functional.linear(x, self.down), self.up * _STEP
        )


class Fixed(nn.Module):  # type: ignore[misc,unused-ignore]
    """x W' + b."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("bias", bias, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[..., i] -> [..., o]."""
        return functional.linear(x, self.weight, self.bias)


class Layer(nn.Module):  # type: ignore[misc,unused-ignore]
    """One transformer layer of MPNet; `rank` 0: nothing in it can be learned."""

    def __init__(self, weights: Weights, index: int, rank: int) -> None:
        super().__init__()
        prefix = f"encoder.layer.{index}"
        for name in LINEARS:
            pair = (_of(weights, f"{prefix}.{name}.weight"), _of(weights, f"{prefix}.{name}.bias"))
            self.add_module(name.replace(".", "_"), Changed(*pair, rank) if rank else Fixed(*pair))
        for place, name in (("inner", "attention.LayerNorm"), ("outer", "output.LayerNorm")):
            for kind in ("weight", "bias"):
                self.register_buffer(f"{place}_{kind}", _of(weights, f"{prefix}.{name}.{kind}"), persistent=False)

    def forward(self, x: Tensor, scores: Tensor) -> Tensor:
        """X [b, t, d], scores [b, heads, t, t] to add before softmax -> [b, t, d]."""
        b, t, d = x.shape
        query, key, value = (
            getattr(self, f"attention_attn_{part}")(x).view(b, t, HEADS, d // HEADS).transpose(1, 2) for part in "qkv"
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=scores.to(query.dtype))
        attended = self.attention_attn_o(mixed.transpose(1, 2).reshape(b, t, d))
        x = functional.layer_norm(x + attended, (d,), self.inner_weight, self.inner_bias, EPSILON)
        wide = functional.gelu(self.intermediate_dense(x))
        return functional.layer_norm(x + self.output_dense(wide), (d,), self.outer_weight, self.outer_bias, EPSILON)


class Encoder(nn.Module):  # type: ignore[misc,unused-ignore]
    """Token ids to a text's vector in two halves: `lower` is fixed, `upper` is learned."""

    def __init__(self, weights: Weights, most: int) -> None:
        super().__init__()
        self.register_buffer("words", _of(weights, "embeddings.word_embeddings.weight"), persistent=False)
        places = _of(weights, "embeddings.position_embeddings.weight")[_PADDING + 1 :]
        self.register_buffer("places", places, persistent=False)
        for kind in ("weight", "bias"):
            self.register_buffer(f"norm_{kind}", _of(weights, f"embeddings.LayerNorm.{kind}"), persistent=False)
        kinds = _of(weights, "encoder.relative_attention_bias.weight")
        distances = kinds[torch.from_numpy(buckets(most))].permute(2, 0, 1)[None]
        self.register_buffer("distances", distances, persistent=False)
        self.lower_layers = nn.ModuleList(Layer(weights, index, 0) for index in range(FROZEN))
        self.upper_layers = nn.ModuleList(Layer(weights, index, RANK) for index in range(FROZEN, LAYERS))

    def lower(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Ids and mask int64 [b, t] -> states [b, t, d]."""
        x = self.words[ids] + self.places[: ids.shape[1]]
        x = functional.layer_norm(x, (WIDTH,), self.norm_weight, self.norm_bias, EPSILON)
        scores = self._scores(mask)
        for layer in self.lower_layers:
            x = layer(x, scores)
        return x

    def upper(self, x: Tensor, mask: Tensor) -> Tensor:
        """States [b, t, d] and mask [b, t] -> float32 [b, d]: the mean of the last layer over the text."""
        scores = self._scores(mask)
        for layer in self.upper_layers:
            x = layer(x, scores)
        kept = mask[..., None].float()
        return (x.float() * kept).sum(1) / kept.sum(1)

    def changes(self) -> dict[str, np.ndarray[Any, np.dtype[np.float16]]]:
        """What was learned: `<weight>.down` [rank, i] and `<weight>.up` [o, rank], for `graphs.text_encoder`."""
        found = {}
        for index, layer in enumerate(self.upper_layers, FROZEN):
            for name in LINEARS:
                linear = getattr(layer, name.replace(".", "_"))
                for part, array in (("down", linear.down), ("up", linear.up * _STEP)):
                    found[f"encoder.layer.{index}.{name}.weight.{part}"] = array.detach().numpy().astype(np.float16)
        return found

    def _scores(self, mask: Tensor) -> Tensor:
        t = mask.shape[1]
        return self.distances[..., :t, :t] + (1 - mask[:, None, None].float()) * _HIDDEN


def padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Ids of unequal length -> ids and mask int64 [b, t]."""
    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), _PADDING)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
        mask[number, : len(row)] = 1
    return ids, mask


def stacked(states: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """States [t_i, d] of unequal length -> [b, t, d] and mask [b, t]."""
    longest = max(map(len, states))
    x = torch.zeros(len(states), longest, states[0].shape[1], dtype=states[0].dtype)
    mask = torch.zeros(len(states), longest, dtype=torch.long)
    for number, state in enumerate(states):
        x[number, : len(state)] = state
        mask[number, : len(state)] = 1
    return x, mask


def _of(weights: Mapping[str, Any], name: str) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(weights[name]))
