"""RAVDESS (Livingstone and Russo, PLoS ONE 2018): actors speak two sentences; calm counts as neutral."""

from typing import Final

from multimood.evaluation.corpora._media import manifest
from multimood.evaluation.rows import Corpus, Seen

CORPUS: Final = Corpus(
    "ravdess",
    "Emotion from the voice of RAVDESS' actors.",
    "the folder with its manifest.csv, that file, or the folder above audio/",
    manifest("audio/ravdess", "ravdess", lambda path: Seen(audio=path)),
    "The interval resamples speakers.",
)
