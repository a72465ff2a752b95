"""Tiny corpora of invented words in the corpora's own formats, and served models that are formulas."""

import csv
import hashlib
import json
from collections import Counter
from pathlib import Path

import numpy as np

from multimood.taxonomy import EMOTIONS, STAGES

SIZES = {
    "emotion": len(EMOTIONS), "stage": len(STAGES), "system_emotion": len(EMOTIONS),
    "strategy_mesc": 10, "strategy_esconv": 8,
}  # fmt: skip


def lines(path: Path, objects: list) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in objects))
    return path


def table(path: Path, rows: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def client(text: str, emotion: str | None = "sadness") -> dict:
    return {"speaker": "Client", "text": text, "emotion": emotion, "strategy": None}


def therapist(text: str, strategy: str | None = "open question", emotion: str | None = "neutral") -> dict:
    return {"speaker": "Therapist", "text": text, "emotion": emotion, "strategy": strategy}


def mesc(split: str | None = "test") -> list[dict]:
    """Two dialogues; the first opens with the therapist and has runs of both speakers."""
    first = [
        therapist("Come in and sit down.", "others"),
        client("The roof of my boat is gone.", "anger"),
        client("And the oars were painted green.", "sadness"),
        therapist("Green oars, you say.", "restatement"),
        therapist("What did you feel?", "open question", "joy"),
        client("Cold.", "fear"),
    ]
    second = [client("I sold the goat.", "joy"), therapist("That took courage.", "approval")]
    return [
        {"dialogue_id": number, "problem_type": "boats", "situation": "a harbour", "utterances": said}
        | ({} if split is None else {"split": split})
        for number, said in enumerate((first, second))
    ]


def esconv(split: str = "test") -> dict:
    return {
        "situation": "the goat", "problem_type": "goats", "emotion_type": "anxiety", "split": split,
        "survey_score": {"seeker": {"initial_emotion_intensity": "4"}},
        "dialog": [
            {"speaker": "sys", "text": "Hello there.", "strategy": "Question"},
            {"speaker": "usr", "text": "My goat ran off."},
            {"speaker": "usr", "text": "Twice."},
            {"speaker": "sys", "text": "You miss it.", "strategy": "Reflection of feelings"},
            {"speaker": "sys", "text": "Call its name.", "strategy": "Providing Suggestions"},
            {"speaker": "usr", "text": "I will."},
        ],
    }  # fmt: skip


class Formula:
    """Stands for `Served`: every output is made of the hash of its question; all questions are counted."""

    home = Path("/nowhere")

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.client = self

    async def close(self) -> None:
        """Nothing is open."""

    def models(self) -> dict:
        return {}

    def note(self, model: str, version: str) -> None:
        """Nobody asks."""

    async def row(self, model: str, inputs: dict) -> dict:
        parts = [name.encode() + np.ascontiguousarray(inputs[name]).tobytes() for name in sorted(inputs)]
        digest = hashlib.sha256(model.encode() + b"".join(parts)).digest()
        self.asked[digest.hex()] += 1
        numbers = np.random.default_rng(np.frombuffer(digest, np.uint32))
        if model == "text_encoder":
            return {"embedding": numbers.random((1, 384), np.float32)}
        if model == "audio_encoder":
            return {"embedding": numbers.random((1, 256), np.float32)}
        if model == "video_encoder":
            count = len(inputs["frames"])
            return {
                "face": np.ones((count, 5), np.float32), "features": numbers.random((count, 256), np.float32),
                "probs": np.ones((count, 7), np.float32),
            }  # fmt: skip
        found = {name: numbers.random((1, size)) for name, size in SIZES.items()}
        found = {name: (values / values.sum()).astype(np.float32) for name, values in found.items()}
        each = np.full((1, 3, len(EMOTIONS)), 1 / len(EMOTIONS), np.float32)
        return {**found, "modality_emotion": each, "intensity": numbers.random((1, 1), np.float32)}

    ask = row


class Letters:
    """Stands for the tokenizer: a letter a token."""

    def __init__(self, path: Path) -> None:
        """There is no file."""

    def encode(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        ids = np.array([[*map(ord, text)]], np.int64)
        return ids, np.ones_like(ids)


class Quiet:
    """Shows nothing."""

    def begin(self, what: str, total: int):
        return lambda: None
