"""What a system sees of hidden states: noisy emotions, intensity, stage, risk. Arrays of many seekers at once.

The fields become the columns of a row (`records.py`), and the contexts of a policy in exactly the form in which
`multimood.ope.contexts` reads such a row.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from multimood.ope.contexts import FEATURES, LATE, STRATEGIES
from multimood.ope.log import Bools, Floats, Ints
from multimood.simulator.profiles import PROFILES
from multimood.simulator.seekers import Seekers
from multimood.taxonomy import EMOTIONS

CRISIS: Final = 0.93
"""Distress above which the sentinel is taken to step in."""
_WRITE: Final = 0.5
_UNSEEN: Final = 0.83
_NOISE: Final = 0.03
_EMOTION_NOISE: Final = 0.1
_MAIN: Final = np.array([EMOTIONS.index(profile.emotion) for profile in PROFILES])
_ANGER, _NEUTRAL, _JOY = (EMOTIONS.index(name) for name in ("anger", "neutral", "joy"))
_STAGE_ENDS: Final = (0.4, 0.65)


@dataclass(frozen=True, slots=True)
class Setting:
    """What of a seeker's circumstances stays for a conversation; every array is [n]."""

    audio: Bools
    video: Bools
    locale: Ints
    """Index into `LOCALES`."""

    @classmethod
    def draw(cls, count: int, rng: np.random.Generator) -> Self:
        """New ones: half write only, a third speak, the rest are seen too."""
        channel = rng.random(count)
        return cls(channel > _WRITE, channel > _UNSEEN, rng.choice(len(LOCALES), count, p=[0.7, 0.2, 0.1]))

    def take(self, which: object) -> Self:
        """Some of them."""
        return type(self)(*(getattr(self, name)[which] for name in self.__slots__))


LOCALES: Final = ("en", "de", "es")


@dataclass(frozen=True, slots=True)
class Perceived:
    """One turn of `n` seekers as the system sees it."""

    emotion: Floats
    """[n, 8]: sums to 1."""
    intensity: Floats
    """[n], 0..1; as every other number here, of float32's precision, as the log keeps it."""
    stage: Ints
    """[n]: index into STAGES."""
    risk: Floats
    """[n], 0..1: the screening's score."""
    crisis: Bools
    """[n]."""

    @classmethod
    def of(cls, seekers: Seekers, setting: Setting, rng: np.random.Generator) -> Self:
        """Look at them. Voice and face make it clearer."""
        count = len(seekers)
        clearer = 1 / np.sqrt(1.0 + setting.audio + setting.video)
        noise = clearer[:, None] * rng.standard_normal((count, 3 + len(EMOTIONS)))
        scores = _EMOTION_NOISE * noise[:, 3:] - 1
        scores[np.arange(count), _MAIN[seekers.profile]] += 3 * seekers.distress
        scores[:, _ANGER] += 3 * seekers.resistance
        scores[:, _JOY] += 4 * seekers.alliance
        scores[:, _NEUTRAL] += 4 * seekers.readiness
        shares = np.exp(scores)
        return cls(
            emotion=shares / shares.sum(axis=1, keepdims=True),
            intensity=_single(seekers.distress + _NOISE * noise[:, 0]),
            stage=np.digitize(seekers.readiness + _NOISE * noise[:, 1], _STAGE_ENDS),
            risk=_single(seekers.distress**4 + _NOISE * noise[:, 2]),
            crisis=seekers.distress > CRISIS,
        )

    def contexts(self, setting: Setting, step: int, before: Ints) -> Floats:
        """[n, d] as `FEATURES`; `before` [n] indexes STRATEGIES, -1: none."""
        columns = {
            "intensity": self.intensity,
            "step": np.full(len(self.stage), min(step, LATE) / LATE),
            "first": np.full(len(self.stage), float(step == 0)),
            "risk": self.risk,
            "audio": setting.audio.astype(float),
            "video": setting.video.astype(float),
        }
        blocks = [
            self.emotion,
            columns.pop("intensity")[:, None],
            np.eye(3)[self.stage],
            *(column[:, None] for column in columns.values()),
            (before[:, None] == np.arange(len(STRATEGIES))).astype(float),
        ]
        made = np.hstack(blocks)
        assert made.shape[1] == len(FEATURES)
        return made


def _single(values: Floats) -> Floats:
    return np.clip(values, 0, 1).astype(np.float32).astype(np.float64)
