"""The labels of the field in one place: emotions, strategies, stages, trust criteria, and how corpora map onto them.

Order is part of the contract: model outputs and logged distributions are indexed by these tuples.
"""

from types import MappingProxyType
from typing import Final

Modality = str
MODALITIES: Final[tuple[Modality, ...]] = ("text", "audio", "video")

EMOTIONS: Final = ("anger", "sadness", "disgust", "depression", "neutral", "joy", "fear", "surprise")
"""Union of MESC's seven (with depression, without surprise) and the seven of MELD, DFEW, RAVDESS, FER2013."""

MESC_STRATEGIES: Final = (
    "open question",
    "approval",
    "self-disclosure",
    "restatement",
    "interpretation",
    "advisement",
    "communication skills",
    "structuring the therapy",
    "guiding the pace and depth of the conversation",
    "others",
)

ESCONV_STRATEGIES: Final = (
    "question",
    "restatement or paraphrasing",
    "reflection of feelings",
    "self-disclosure",
    "affirmation and reassurance",
    "providing suggestions",
    "information",
    "others",
)

STAGES: Final = ("exploration", "comforting", "action")
"""ESConv's three stages of support (Liu et al., ACL 2021, section 3)."""

CRITERIA: Final = ("truthfulness", "safety", "fairness", "privacy", "empathy", "reliability", "ethical_guidance")
"""The seven trust criteria of MultiMood (Le et al., AAAI-26), each scored 1 to 10."""

CORPUS_EMOTIONS: Final = MappingProxyType(
    {
        "mesc": ("anger", "sadness", "disgust", "depression", "neutral", "joy", "fear"),
        "meld": ("anger", "sadness", "disgust", "neutral", "joy", "fear", "surprise"),
        "goemotions": ("anger", "sadness", "disgust", "neutral", "joy", "fear", "surprise"),
        "dailydialog": ("anger", "sadness", "disgust", "neutral", "joy", "fear", "surprise"),
        "ravdess": ("anger", "sadness", "disgust", "neutral", "joy", "fear", "surprise"),
        "emodb": ("anger", "sadness", "disgust", "neutral", "joy", "fear"),
        "nemo": ("anger", "sadness", "neutral", "joy", "fear", "surprise"),
        "fer2013": ("anger", "sadness", "disgust", "neutral", "joy", "fear", "surprise"),
    }
)
"""A model is scored on a corpus only over that corpus' labels."""
