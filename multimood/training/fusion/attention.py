"""Learning how much each modality counts at a moment (parameters.Attention).

No corpus has words, voice and face of the same talk. What there is: dialogues of words; voices and faces of labelled
emotions. So a dialogue's utterance is put beside a voice and a face of people who were asked to show the emotion that
the utterance is labelled with, each judged by a head that had not heard or seen that person; every subset of the three is
shown as often. Beside them stand voices and faces alone, and RAVDESS' voices with the two sentences they really say.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from multimood.taxonomy import EMOTIONS, MODALITIES
from multimood.training.fusion.parameters import DEPRESSION, MASKS, SADNESS, Attention
from multimood.training.heads import Floats, softmax

DIMENSIONS: Final = 8
STEPS: Final = 1_500
BATCH: Final = 512
RATE: Final = 5e-3
DECAY: Final = 1e-2
_SHUT: Final = -1e4


@dataclass(frozen=True, slots=True)
class Evidence:
    """n moments: `answer` [n, d] of the dialogue, `votes` [n, 3, 8] log-probabilities, `present` [n, 3] of 0 and 1.

    `labels` int64 [n] are among `allowed` bool [n, 8].
    """

    answer: Floats
    votes: Floats
    present: Floats
    labels: NDArray[np.int64]
    allowed: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, chosen: NDArray[np.int64]) -> "Evidence":
        """Some of them."""
        parts = (self.answer, self.votes, self.present, self.labels, self.allowed)
        return Evidence(*(part[chosen] for part in parts))  # type: ignore[arg-type]


def votes_of(logits: Floats) -> Floats:
    """Log-probabilities of sound or picture; what they say of sadness counts for depression, too: [n, 8]."""
    votes = np.log(softmax(logits) + 1e-9).astype(np.float32)
    votes[:, DEPRESSION] = votes[:, SADNESS]
    return votes


def joined(parts: Sequence[Evidence]) -> Evidence:
    """One after the other."""
    return Evidence(
        *(np.concatenate([getattr(part, name) for part in parts])
          for name in ("answer", "votes", "present", "labels", "allowed"))  # type: ignore[arg-type]
    )  # fmt: skip


def matched(
    evidence: Evidence, wordless: Evidence, others: Sequence[tuple[int, Floats, NDArray[np.int64]]], seed: int
) -> Evidence:
    """Put a voice and a face of the same label beside every moment, and show every subset of the three as often.

    `wordless` are the same moments without their words; `others` are place, votes [m, 8] and labels [m] of each.
    """
    chance = np.random.default_rng(seed)
    n = len(evidence)
    masks = chance.integers(1, MASKS, n)
    present = ((masks[:, None] >> np.arange(len(MODALITIES))) & 1).astype(np.float32)
    worded = present[:, :1] > 0
    answer = np.where(worded, evidence.answer, wordless.answer)
    votes = evidence.votes.copy()
    votes[:, 0] = np.where(worded, evidence.votes[:, 0], wordless.votes[:, 0])
    wanted = np.where(evidence.labels == DEPRESSION, SADNESS, evidence.labels)
    for place, theirs, labels in others:
        for label in range(len(EMOTIONS)):
            pool, rows = np.flatnonzero(labels == label), np.flatnonzero(wanted == label)
            if len(pool):
                votes[rows, place] = theirs[chance.choice(pool, len(rows))]
            else:
                present[rows, place] = 0
    return Evidence(answer, votes, present, evidence.labels, evidence.allowed)


def fit(evidence: Evidence, seed: int) -> Attention:
    """By AdamW on cross-entropy; the weights per mask begin at one, the attention at "all count alike"."""
    torch.manual_seed(seed)
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
    given = (torch.from_numpy(part) for part in (evidence.answer, evidence.votes, evidence.present))
    mask = (torch.from_numpy(evidence.present) @ torch.tensor([1.0, 2.0, 4.0])).long()
    logits = _fused(tuple(torch.from_numpy(part) for part in parts), *given, mask)
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
    return total
