"""nEMO (Christop, LREC-COLING 2024): actors speak Polish."""

from typing import Final

from multimood.evaluation.corpora._media import manifest
from multimood.evaluation.rows import Corpus, Seen

CORPUS: Final = Corpus(
    "nemo",
    "Emotion from the voice of nEMO's Polish actors.",
    "the folder with its manifest.csv, that file, or the folder above audio/",
    manifest("audio/nemo", "nemo", lambda path: Seen(audio=path), speakers_split=True),
    "The interval resamples speakers. Splits train and val of a file without them: by speaker, as in training.",
)
