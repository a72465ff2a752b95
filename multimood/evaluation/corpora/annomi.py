"""AnnoMI (Wu et al., ICASSP 2022): counselling sessions of high and of low quality, one utterance a row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from multimood.evaluation.rows import Corpus, Dialogue, Part, Role, Row, Seen, Task
from multimood.evaluation.source import Source, label_in, truth_of

FILES: Final = ("annomi.csv", "text/annomi.csv")
QUALITIES: Final = ("high", "low")
EVERY: Final = 5
"""Of a file without parts, every fifth video of each quality is held back from training."""
TASKS: Final = (
    Task("quality", "quality", "quality", QUALITIES),
    Task("quality_utterance", "session_quality", "utterance quality", QUALITIES),
)


@dataclass(frozen=True, slots=True)
class Session:
    """A session; several may be of one video. The quality is None where it is neither high nor low."""

    name: str
    video: str
    quality: str | None
    part: str
    rows: Sequence[Row]


def read(source: Source) -> Sequence[Part]:
    """Whole sessions: the quality stands on a session's first row, and on each of the supporter's for that task."""
    sessions = read_sessions(source)
    if source.split in {"train", "val"} and not any(session.part for session in sessions):
        held = held_back(sessions)
        sessions = [session for session in sessions if (session.video in held) == (source.split == "val")]
    else:
        sessions = source.chosen(sessions, lambda session: session.part)
    dialogues = [Dialogue(session.video, session.rows) for session in sessions]
    return [Part(dialogues, TASKS, judge="quality")]


def read_sessions(source: Source) -> list[Session]:
    """All sessions of the file, in its order."""
    required = ("transcript_id", "mi_quality", "interlocutor", "utterance_text")
    by_name: dict[str, list[dict[str, str]]] = {}
    for row in source.table(source.file(*FILES), required):
        by_name.setdefault(row["transcript_id"], []).append(row)
    return [_session(source, name, rows) for name, rows in by_name.items()]


def held_back(sessions: Sequence[Session]) -> frozenset[str]:
    """Videos that training leaves to validation: every fifth of each quality, from the first on."""
    found: set[str] = set()
    for quality in QUALITIES:
        videos = list(dict.fromkeys(session.video for session in sessions if session.quality == quality))
        found.update(videos[::EVERY])
    return frozenset(found)


def _session(source: Source, name: str, rows: Sequence[dict[str, str]]) -> Session:
    quality = label_in(source, QUALITIES, rows[0]["mi_quality"], "qualities")
    said: list[Row] = []
    for row in rows:
        role: Role = "user" if row["interlocutor"].strip().lower() == "client" else "system"
        truth = truth_of(quality=None if said else quality, session_quality=quality if role == "system" else None)
        said.append(Row(Seen(role, text=row["utterance_text"].strip()), truth))
    return Session(name, rows[0].get("video_url") or name, quality, rows[0].get("split", ""), said)


CORPUS: Final = Corpus(
    "annomi",
    "Quality of AnnoMI's counselling sessions, by the trust score's judge of it.",
    "annomi.csv, the folder that holds it, or the folder above text/",
    read,
    "A session's quality is told from the mean over what the supporter said in it. The interval resamples videos. "
    "Parts train and val of a file without them: every fifth video of each quality is val, as in training.",
)
