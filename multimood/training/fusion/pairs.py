"""Words, voices and faces put together, from which the attention over modalities learns.

No corpus has words, voice and face of the same talk. What there is: dialogues of words; voices and faces of labelled
emotions. So a dialogue's utterance is put beside a voice and a face of people who were asked to show the emotion that
the utterance is labelled with, each judged by a head that had not met that person; every subset of the three is shown
as often. Beside them stand voices and faces alone, and RAVDESS' voices with the two sentences they really say.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multimood.taxonomy import EMOTIONS, MODALITIES
from multimood.training.fusion.parameters import DEPRESSION, MASKS, SADNESS
from multimood.training.heads import Floats, softmax


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
    votes: Floats = np.log(softmax(logits) + 1e-9).astype(np.float32)
    votes[:, DEPRESSION] = votes[:, SADNESS]
    return votes


def joined(parts: Sequence[Evidence]) -> Evidence:
    """One after the other."""
    return Evidence(
        *(np.concatenate([getattr(part, name) for part in parts])
          for name in ("answer", "votes", "present", "labels", "allowed"))
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
