"""The head on the video encoder's embedding of a face, from pictures of faces without names."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from multimood.training.fusion import emotion
from multimood.training.fusion.corpora import Samples
from multimood.training.fusion.emotion import Pool
from multimood.training.heads import Floats, Network

UNSEEN: tuple[str, ...] = ("depression",)
"""No face in the data is labelled with these."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """The head, its temperature for faces that it has not seen, and the range of inputs that it believes [2, d]."""

    network: Network
    temperature: float
    bounds: Floats


def learn_pictures(faces: Pool, seed: int) -> Pictures:
    """A head with one hidden layer on all rows; its temperature is that of heads that had not seen a face."""
    folds = emotion.folds_of(faces, seed)
    networks = emotion.unseen_networks(faces, emotion.fit_deep(emotion.FACE_RECIPE, seed), folds)
    unseen = emotion.unseen_logits(networks, faces.x, folds)
    degree = emotion.temperature(unseen, faces, ~faces.held)
    return Pictures(emotion.closed(networks[-1], UNSEEN), degree, emotion.bounds(faces.x[~faces.held]))


def every_size(samples: Samples, seen: Floats) -> Pool:
    """Each size [sizes, n, d] at which a face was found is a row; the rows of one face share its weight."""
    whole = emotion.pool([samples] * len(seen), list(seen))
    found = ~np.isnan(whole.x[:, 0])
    share = found.reshape(len(seen), -1).sum(axis=0).clip(1)
    task = whole.task.rows(found)
    task.weights[:] = (1 / np.tile(share, len(seen)))[found]
    return Pool(whole.x[found], task, whole.corpus[found], whole.groups[found], whole.held[found])


def first_seen(seen: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Of each face the first size at which it was found, [n, d], and whether there is one, [n]."""
    first: Floats = seen[0].copy()
    for other in seen[1:]:
        first = np.where(np.isnan(first[:, :1]), other, first).astype(np.float32)
    return first, ~np.isnan(first[:, 0])
