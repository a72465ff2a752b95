"""RAVDESS takes: the voice as sound, and of the same take's picture what others' face software made of it."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from multimood.errors import ConfigurationError
from multimood.evaluation.rows import Corpus, Dialogue, FaceEvidence, Part, Row, Seen, Task
from multimood.evaluation.source import Source, label_in, truth_of
from multimood.taxonomy import CORPUS_EMOTIONS

FILES: Final = ("ravdess_paired.csv", "av/ravdess_paired.csv")
EMOTIONS: Final = CORPUS_EMOTIONS["ravdess"]
FACE_MODEL: Final = "aumlp"
"""Of the two face models in the file the one that, like ours, looks at single frames and averages."""
COLUMNS: Final = MappingProxyType(
    {
        "anger": "anger", "calm": "neutral", "disgust": "disgust", "fear": "fear",
        "happy": "joy", "neutral": "neutral", "sad": "sadness", "surprise": "surprise",
    }
)  # fmt: skip


def read(source: Source) -> Sequence[Part]:
    """Voice and face of each take."""
    file = source.file(*FILES)
    rows = source.chosen(source.table(file, ("audio_path", "label")), lambda row: row.get("split"))
    if rows and not any(f"{FACE_MODEL}_{column}" in rows[0] for column in COLUMNS):
        raise ConfigurationError(f"{file} has no columns {FACE_MODEL}_*: they say what was seen in the face")
    dialogues = []
    for row in rows:
        known = label_in(source, EMOTIONS, row["label"], "emotions")
        face = _face(row)
        if face is None:
            source.note("rows whose face evidence is missing or no distribution")
        group = row.get("speaker") or row["audio_path"]
        seen = Seen(speaker=group, audio=source.media(file, row["audio_path"]), face=face)
        dialogues.append(Dialogue(group, [Row(seen, truth_of(user_emotion=known))]))
    source.check_media()
    return [Part(dialogues, (Task("user_emotion", "user_emotion", "emotion", EMOTIONS),))]


def _face(row: Mapping[str, str]) -> FaceEvidence | None:
    shares = dict.fromkeys(EMOTIONS, 0.0)
    units = {}
    try:
        for column, emotion in COLUMNS.items():
            shares[emotion] += float(row.get(f"{FACE_MODEL}_{column}", ""))
        units = {name: float(value) for name, value in row.items() if name.startswith("AU") and value}
    except ValueError:
        return None
    total = sum(shares.values())
    if not (min(shares.values()) >= 0 and 0 < total < float("inf")):
        return None
    return FaceEvidence({emotion: share / total for emotion, share in shares.items()}, units)


CORPUS: Final = Corpus(
    "ravdess_paired",
    "Emotion from voice, face, and both, in RAVDESS' takes.",
    "ravdess_paired.csv beside the folder audio/ that its paths name, or the folder above both",
    read,
    "The face is not seen by the served video encoder (there are no pictures): `video` is what the head of `multimood "
    "train video` makes of facial action units, relative to the same speaker's takes before (where units are missing: "
    "what others' model made of them), combined with the served voice by the rule that it learned on training actors. "
    "Takes come in the file's order, sorted by emotion: every speaker's first ones are neutral.",
)
