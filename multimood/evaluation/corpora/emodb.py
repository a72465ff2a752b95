"""EmoDB (Burkhardt et al., Interspeech 2005): actors speak German; boredom has no counterpart and is left out."""

from typing import Final

from multimood.evaluation.corpora._media import manifest
from multimood.evaluation.rows import Corpus, Seen

CORPUS: Final = Corpus(
    "emodb",
    "Emotion from the voice of EmoDB's German actors.",
    "the folder with its manifest.csv, that file, or the folder above audio/",
    manifest("audio/emodb", "emodb", lambda path: Seen(audio=path), speakers_split=True),
    "The interval resamples speakers. Splits train and val of a file without them: by speaker, as in training.",
)
