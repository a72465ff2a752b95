"""The dialogue network in torch: several members side by side, each a small transformer over the turns of a dialogue.

Members differ by where they begin and what they are not shown; their logits are averaged (deep ensemble;
Lakshminarayanan et al., NeurIPS 2017). Their weights are stacked in the first axis, so that one product serves all.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from multimood.history import MARKS, TURNS, WIDTH
from multimood.training.fusion.shape import HEADS, PACES, QUERIES, Shape


class Context(nn.Module):  # type: ignore[misc,unused-ignore]
    """Words, history and step -> logits by head, [members, b, size] each."""

    def __init__(self, shape: Shape, drop: float) -> None:
        super().__init__()
        self.shape = shape
        self._drop = nn.Dropout(drop)
        e, d = shape.members, shape.width
        self.words = _weight(e, WIDTH, d)
        self.marks = _weight(e, MARKS, d)
        self.places = nn.Parameter(torch.randn(e, TURNS + 1, d) * 0.02)
        self.queries = nn.Parameter(torch.randn(e, len(QUERIES), d) * 0.02)
        self.pace = _weight(e, PACES, d)
        for layer in range(shape.layers):
            for name, into, out in (
                ("joint", d, 3 * d), ("mixed", d, d), ("inner", d, shape.wide * d), ("outer", shape.wide * d, d),
            ):  # fmt: skip
                self.register_parameter(f"{name}_{layer}", _weight(e, into, out))
                self.register_parameter(f"{name}_{layer}_bias", nn.Parameter(torch.zeros(e, 1, 1, out)))
            for name in ("before", "between"):
                _norm(self, f"{name}_{layer}", e, d)
        _norm(self, "last", e, d)
        for name, (query, size) in HEADS.items():
            told = shape.told if query == "support" else 0
            self.register_parameter(f"head_{name}", _weight(e, d + WIDTH + told, size))
            self.register_parameter(f"head_{name}_bias", nn.Parameter(torch.zeros(e, 1, size)))

    def forward(self, text: Tensor, here: Tensor, past: Tensor, marks: Tensor, step: Tensor) -> dict[str, Tensor]:
        """Text [b, WIDTH], here [b] (whether there are words), past [b, t, WIDTH], marks [b, t, MARKS], step [b].

        `t` may be less than TURNS: the latest turns. Beside the heads' logits, `answer` is what the query for feelings
        found, [members, b, d].
        """
        e = self.shape.members
        b, t = past.shape[:2]
        every = torch.cat([past, (text * here[:, None])[:, None]], 1)[None].expand(e, -1, -1, -1)
        x = torch.matmul(self._drop(every), self.words[:, None]) + self.places[:, None, TURNS - t :]
        x[:, :, :t] = x[:, :, :t] + torch.matmul(marks[None], self.marks[:, None])
        paces = torch.stack([step, step.sqrt(), torch.ones_like(step)], 1)
        asked = self.queries[:, None] + torch.matmul(paces[None], self.pace)[:, :, None]
        x = torch.cat([asked, x], 2)
        shown = torch.cat([torch.ones(b, len(QUERIES)), marks[..., :2].sum(-1), here[:, None]], 1)
        scores = (1 - shown)[None, :, None, None, :] * -1e9
        for layer in range(self.shape.layers):
            x = x + self._drop(self._attend(self._normed(x, f"before_{layer}"), scores, layer))
            y = self._linear(self._normed(x, f"between_{layer}"), f"inner_{layer}")
            x = x + self._drop(self._linear(self._drop(functional.gelu(y)), f"outer_{layer}"))
        answers = self._normed(x[:, :, : len(QUERIES)], "last")
        seen = (text * here[:, None])[None].expand(e, -1, -1)
        found: dict[str, Tensor] = {"answer": answers[:, :, QUERIES.index("feeling")]}
        for name, (query, _) in HEADS.items():
            parts = [self._drop(answers[:, :, QUERIES.index(query)]), self._drop(seen)]
            if query == "support":  # the chain of SMES: what the person feels decides what is done
                felt = found["emotion"].mean(0).softmax(-1).detach()
                parts.append(felt[None].expand(e, -1, -1))
            weight, bias = getattr(self, f"head_{name}"), getattr(self, f"head_{name}_bias")
            found[name] = torch.matmul(torch.cat(parts, -1), weight) + bias
        return found

    def _attend(self, x: Tensor, scores: Tensor, layer: int) -> Tensor:
        e, b, t, d = x.shape
        heads = self.shape.heads
        joint = self._linear(x, f"joint_{layer}").view(e, b, t, 3, heads, d // heads)
        query, key, value = (part.transpose(2, 3) for part in joint.unbind(3))
        weights = (torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(d // heads) + scores).softmax(-1)
        mixed = torch.matmul(self._drop(weights), value).transpose(2, 3).reshape(e, b, t, d)
        return self._linear(mixed, f"mixed_{layer}")

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return torch.matmul(x, getattr(self, name)[:, None]) + getattr(self, f"{name}_bias")

    def _normed(self, x: Tensor, name: str) -> Tensor:
        normal = functional.layer_norm(x, (x.shape[-1],), eps=1e-5)
        return normal * getattr(self, f"{name}_scale") + getattr(self, f"{name}_shift")


def _weight(members: int, into: int, out: int) -> nn.Parameter:
    return nn.Parameter((torch.rand(members, into, out) * 2 - 1) / math.sqrt(into))


def _norm(module: nn.Module, name: str, members: int, width: int) -> None:
    module.register_parameter(f"{name}_scale", nn.Parameter(torch.ones(members, 1, 1, width)))
    module.register_parameter(f"{name}_shift", nn.Parameter(torch.zeros(members, 1, 1, width)))
