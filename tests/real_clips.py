"""Real clips for the whole system: labelled speech where it is at hand, else the samples that set-up can make."""

import csv
from dataclasses import dataclass
from pathlib import Path

from multimood.local.samples import face_clip, speech

WORDS = "I lost my job on Friday, and I have not told anybody at home."


@dataclass(frozen=True)
class Clips:
    """One utterance's media. The words are what the voice says."""

    words: str
    audio: bytes
    video: bytes
    source: str


def make_clips(folder: Path, data: Path) -> Clips:
    """A voice (of the labelled data, if the folder is there) and a face."""
    voice = speech(WORDS, folder / "voice.wav")
    film = face_clip(voice, folder / "face.mp4").read_bytes()
    manifest = data / "audio" / "ravdess" / "manifest.csv"
    if not manifest.is_file():
        return Clips(WORDS, voice.read_bytes(), film, "samples")
    with manifest.open(encoding="utf-8", newline="") as rows:
        row = next(row for row in csv.DictReader(rows) if row["split"] == "val" and row["label"] == "sadness")
    return Clips(row["text"], (data / row["path"]).read_bytes(), film, "labelled")
