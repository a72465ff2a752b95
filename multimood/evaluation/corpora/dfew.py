"""DFEW (Jiang et al., ACM MM 2020) in its own layout: EmoLabel_DataSplit/ with five folds, and Clip/ with the clips."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from multimood.errors import ConfigurationError, NotFoundError
from multimood.evaluation.rows import Corpus, Dialogue, Part, Row, Seen, Task
from multimood.evaluation.source import Source

EMOTIONS: Final = ("joy", "sadness", "neutral", "anger", "surprise", "disgust", "fear")
"""Its labels 1 to 7."""
FOLDS: Final = 5
ENDINGS: Final = (".mp4", ".avi", ".webm", ".mkv", ".mov")


def read(source: Source) -> Sequence[Part]:
    """One part a fold."""
    if source.path.is_file():
        raise ConfigurationError(f"--data {source.path} is a file: give the folder with EmoLabel_DataSplit/ and Clip/")
    if source.split not in {"test", "train"}:
        raise NotFoundError(f"DFEW has no split {source.split!r}: it has test, train")
    files = [
        source.path / "EmoLabel_DataSplit" / f"{source.split}(single-labeled)" / f"set_{fold}.csv"
        for fold in range(1, FOLDS + 1)
    ]
    there = {fold: file for fold, file in enumerate(files, 1) if file.is_file()}
    if not there:
        raise NotFoundError(f"{files[0]} is not there: give the folder with EmoLabel_DataSplit/ and Clip/")
    clips = _clips(source.path / "Clip")
    parts = []
    for fold, file in there.items():
        dialogues = [
            one for row in source.table(file, ("video_name", "label")) if (one := _dialogue(source, row, clips))
        ]
        task = Task(f"user_emotion_fold_{fold}", "user_emotion", "emotion", EMOTIONS)
        parts.append(Part(dialogues, (task,)))
    if len(there) < FOLDS:
        source.note("folds without a file", FOLDS - len(there))
    return parts


def _clips(folder: Path) -> Mapping[str, Path]:
    """Every clip by its name without leading zeros and ending."""
    found = {path.stem.lstrip("0") or "0": path for path in sorted(folder.rglob("*")) if path.suffix.lower() in ENDINGS}
    if not found:
        raise NotFoundError(f"{folder} holds no clips ({', '.join(ENDINGS)}): ask DFEW's authors for them")
    return found


def _dialogue(source: Source, row: Mapping[str, str], clips: Mapping[str, Path]) -> Dialogue | None:
    name, label = Path(row["video_name"].strip()).stem.lstrip("0") or "0", row["label"].strip()
    if not (label.isdecimal() and 1 <= int(label) <= len(EMOTIONS)):
        source.note("corrupt rows left out")
        return None
    clip = clips.get(name)
    if clip is None:
        source.note("clips that are not there, answered by what is usual")
    truth = {"user_emotion": EMOTIONS[int(label) - 1]}
    return Dialogue(name, [Row(Seen(audio=clip, video=clip), truth)])


CORPUS: Final = Corpus(
    "dfew",
    "Emotion from DFEW's clips: five folds, WAR (accuracy) and UAR (uar).",
    "the folder with EmoLabel_DataSplit/ and Clip/",
    read,
    "user_emotion is the mean over the folds (n: their sum); nothing is trained on the folds. The sound is used where "
    "a clip has it. The interval resamples clips.",
)
