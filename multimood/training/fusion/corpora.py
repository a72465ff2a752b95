"""The labelled data of single utterances: words, voices and faces with one of the union's emotions each."""

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from multimood.errors import NotFoundError
from multimood.taxonomy import CORPUS_EMOTIONS, EMOTIONS

TEXT_FILES: Final = (("meld", "meld"), ("goemotions", "goemotions_ekman"), ("dailydialog", "dailydialog_reccon"))
SOUNDS: Final = ("ravdess", "emodb", "nemo")
HELD_SPEAKERS: Final = slice(1, None, 3)
"""Of a corpus without a validation part these speakers, in the order of their names, are held back."""


@dataclass(frozen=True, slots=True)
class Samples:
    """One corpus of one modality.

    `inputs` are texts, or paths below the data folder; `labels` int64 [n] index EMOTIONS; `groups` name the dialogue or
    the speaker; `held` bool [n] is the validation part.
    """

    corpus: str
    inputs: tuple[str, ...]
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]
    held: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def allowed(self) -> NDArray[np.bool_]:
        """Which of the union's emotions this corpus knows: bool [8]."""
        return np.isin(np.arange(len(EMOTIONS)), [EMOTIONS.index(name) for name in CORPUS_EMOTIONS[self.corpus]])


def read_texts(data: Path) -> list[Samples]:
    """MELD, GoEmotions (the posts with one label), DailyDialog, and what clients say in MESC.

    Raises:
        NotFoundError: a data set is not there.
    """
    found = []
    for corpus, name in TEXT_FILES:
        rows = [row for row in read_table(data / "text" / f"{name}.csv") if row["label"] and row["text"].strip()]
        for row in rows:
            row["group"] = row.get("dialogue_id") or row["id"]
        found.append(_samples(corpus, rows, "text"))
    clients = [
        {
            "text": turn["text"], "label": turn["emotion"], "split": dialogue["split"],
            "group": f"mesc_{dialogue['dialogue_id']}", "speaker": "client",
        }
        for dialogue in read_lines(data / "dialogue" / "mesc.jsonl")
        for turn in dialogue["utterances"]
        if turn["speaker"] == "Client" and turn["text"].strip()
    ]  # fmt: skip
    return [*found, _samples("mesc", clients, "text")]


def read_sounds(data: Path) -> list[Samples]:
    """RAVDESS, EmoDB and nEMO; the last two have no validation part, so some of their speakers are held back.

    Raises:
        NotFoundError: a data set is not there.
    """
    found = []
    for corpus in SOUNDS:
        rows = [row for row in read_table(data / "audio" / corpus / "manifest.csv") if row["label"]]
        speakers = sorted({row["speaker"] for row in rows})
        if not any(row["split"] == "val" for row in rows):
            for row in rows:
                row["split"] = "val" if row["speaker"] in speakers[HELD_SPEAKERS] else "train"
        for row in rows:
            row["group"] = row["speaker"]
        found.append(_samples(corpus, rows, "path"))
    return found


def read_faces(data: Path) -> Samples:
    """FER2013; its faces have no names, so each is a group of its own.

    Raises:
        NotFoundError: it is not there.
    """
    rows = list(read_table(data / "face" / "fer2013" / "manifest.csv"))
    for row in rows:
        row["group"] = row["path"]
    return _samples("fer2013", rows, "path")


def read_table(path: Path) -> Iterator[dict[str, str]]:
    """Rows of a CSV file.

    Raises:
        NotFoundError: it is not there.
    """
    csv.field_size_limit(sys.maxsize)
    with _open(path) as lines:
        yield from csv.DictReader(lines)


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Objects of a JSON-lines file.

    Raises:
        NotFoundError: it is not there.
    """
    with _open(path) as lines:
        for line in lines:
            yield json.loads(line)


def _open(path: Path) -> Any:
    try:
        return path.open(encoding="utf-8", newline="")
    except FileNotFoundError as error:
        raise NotFoundError(
            f"{path} is not there: give the folder that holds text/, audio/, face/, dialogue/"
        ) from error


def _samples(corpus: str, rows: list[dict[str, str]], key: str) -> Samples:
    return Samples(
        corpus,
        tuple(row[key] for row in rows),
        np.array([EMOTIONS.index(row["label"]) for row in rows], np.int64),
        np.array([row["group"] for row in rows]),
        np.array([row["split"] != "train" for row in rows]),
    )
