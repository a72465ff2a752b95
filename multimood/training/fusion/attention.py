"""Learning how much each modality counts at a moment (parameters.Attention)."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch.nn import functional

from multimood.taxonomy import EMOTIONS, MODALITIES
from multimood.training.fusion.pairs import Evidence
from multimood.training.fusion.parameters import MASKS, WORDS, Attention
from multimood.training.heads import Floats

DIMENSIONS: Final = 8
STEPS: Final = 1_500
BATCH: Final = 512
RATE: Final = 5e-3
DECAY: Final = 1e-2
_SHUT: Final = -1e4


def fit(evidence: Evidence, seed: int) -> Attention:
    """By AdamW on cross-entropy, from where voice or face is there.

    The weights per mask begin at one, the attention at "all count alike".
    """
    torch.manual_seed(seed)
    evidence = evidence.rows(np.flatnonzero(evidence.present[:, WORDS:].any(1)))
    width, size = evidence.answer.shape[1], len(EMOTIONS)
    query = torch.nn.Parameter(torch.randn(width, DIMENSIONS) / width**0.5)
    keys = torch.nn.Parameter(torch.zeros(len(MODALITIES), size, DIMENSIONS))
    biases = torch.nn.Parameter(torch.zeros(len(MODALITIES), DIMENSIONS))
    weights = torch.nn.Parameter(torch.ones(MASKS, len(MODALITIES)))
    offsets = torch.nn.Parameter(torch.zeros(MASKS, size))
    learned = (query, keys, biases, weights, offsets)
    optimizer = torch.optim.AdamW(
        [{"params": learned[:3], "weight_decay": DECAY}, {"params": learned[3:], "weight_decay": 0.0}], lr=RATE
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    answer, votes, present = (torch.from_numpy(part) for part in (evidence.answer, evidence.votes, evidence.present))
    mask = (present @ torch.tensor([1.0, 2.0, 4.0])).long()
    shut = torch.where(torch.from_numpy(evidence.allowed), 0.0, _SHUT)
    labels = torch.from_numpy(evidence.labels)
    for _ in range(STEPS):
        rows = torch.randint(len(evidence), (BATCH,))
        logits = _fused(learned, answer[rows], votes[rows], present[rows], mask[rows])
        loss = functional.cross_entropy(logits + shut[rows], labels[rows]) + 1e-3 * offsets.square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return Attention(*(part.detach().numpy() for part in learned))


def fused(attention: Attention, evidence: Evidence) -> Floats:
    """The fused distributions [n, 8], as the graph computes them."""
    parts = (attention.query, attention.keys, attention.biases, attention.weights, attention.offsets)
    answer, votes, present = (torch.from_numpy(part) for part in (evidence.answer, evidence.votes, evidence.present))
    mask = (present @ torch.tensor([1.0, 2.0, 4.0])).long()
    logits = _fused(tuple(torch.from_numpy(part) for part in parts), answer, votes, present, mask)
    shares: Floats = logits.softmax(-1).numpy()
    return shares


def _fused(learned: Sequence[torch.Tensor], answer: torch.Tensor, votes: torch.Tensor, present: torch.Tensor,
           mask: torch.Tensor) -> torch.Tensor:  # fmt: skip
    query, keys, biases, weights, offsets = learned
    asked = answer @ query
    total = offsets[mask]
    for place in range(len(MODALITIES)):
        key = votes[:, place] @ keys[place] + biases[place]
        heard = 2 * torch.sigmoid((asked * key).sum(1, keepdim=True))
        weight = heard * weights[mask][:, place : place + 1]
        if place:
            weight = weight * present[:, place : place + 1]
        total = total + weight * votes[:, place]
    return torch.where((mask > WORDS)[:, None], total, votes[:, 0])
