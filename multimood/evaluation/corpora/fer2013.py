"""FER2013 (Goodfellow et al. 2013): cropped grey faces of 48 x 48 pixels, each shown as a clip of one frame."""

from typing import Final

from multimood.evaluation.corpora._media import manifest
from multimood.evaluation.rows import Corpus, Seen

CORPUS: Final = Corpus(
    "fer2013",
    "Emotion from FER2013's faces.",
    "the folder with its manifest.csv, that file, or the folder above face/",
    manifest("face/fer2013", "fer2013", lambda path: Seen(picture=path)),
    "A face that is not found counts as no picture and is answered all the same: by what is usual. Nobody is named: "
    "the interval resamples faces.",
)
