"""Where the picture itself is not at hand: how evidence of a face joins the served model's view of the voice."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from multimood.evaluation.rows import FaceEvidence, Seen
from multimood.taxonomy import EMOTIONS
from multimood.training.heads import softmax
from multimood.training.video.face import read_face
from multimood.training.video.rule import LEAST
from multimood.training.video.units import Baseline, UnitsHead

shipped = cache(read_face)
"""The heads of this version."""


def look(dialogues: Sequence[Sequence[Seen]], head: UnitsHead | None = None) -> list[tuple[Seen, ...]]:
    """The dialogues, with what a head (None: the shipped one) sees in faces of which action units are known.

    Each unit is taken relative to the same speaker's takes so far: in the order of the dialogues, nothing that comes
    later is known, and of labels nothing at all. Where a unit is missing, the evidence stays what it was.
    """
    known: dict[str, Baseline] = {}
    return [tuple(_looked(seen, known, head) for seen in dialogue) for dialogue in dialogues]


def with_face(voice: Mapping[str, float] | None, face: FaceEvidence) -> dict[str, float]:
    """The person's emotion by what the served model says of the voice alone (None: there is none) and by the face.

    A log-linear opinion pool (Genest and Zidek 1986) whose weights come with the heads (`multimood train video`).
    """
    total = np.log(np.array([face.shares.get(label, 0.0) for label in EMOTIONS]) + LEAST)
    if voice is not None:
        rule = shipped().rule if face.is_ours else shipped().rule_of_shares
        heard = np.log(np.array([voice.get(label, 0.0) for label in EMOTIONS]) + LEAST)
        total = rule.face * total + rule.voice * heard
    return {label: float(share) for label, share in zip(EMOTIONS, softmax(total), strict=True)}


def _looked(seen: Seen, known: dict[str, Baseline], head: UnitsHead | None) -> Seen:
    if seen.face is None or not seen.face.units:
        return seen
    head = head or shipped().units
    units = head.vector(seen.face.units)
    if units is None:
        return seen
    baseline = known.setdefault(seen.speaker, Baseline(head.usual))
    shares = head.shares(baseline.look(units))
    own = {label: float(share) for label, share in zip(EMOTIONS, shares, strict=True)}
    return replace(seen, face=replace(seen.face, shares=own, is_ours=True))
