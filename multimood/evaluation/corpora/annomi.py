"""AnnoMI (Wu et al., ICASSP 2022): counselling sessions of high and of low quality, one utterance a row."""

from collections.abc import Sequence
from typing import Final

from multimood.evaluation.rows import Corpus, Dialogue, Part, Role, Row, Seen, Task
from multimood.evaluation.source import Source, label_in, truth_of

FILES: Final = ("annomi.csv", "text/annomi.csv")
QUALITIES: Final = ("high", "low")


def read(source: Source) -> Sequence[Part]:
    """Whole sessions; the quality is a session's and stands on its first row."""
    required = ("transcript_id", "mi_quality", "interlocutor", "utterance_text")
    rows = source.chosen(source.table(source.file(*FILES), required), lambda row: row.get("split"))
    sessions: dict[str, list[Row]] = {}
    for row in rows:
        session = sessions.setdefault(row["transcript_id"], [])
        quality = None if session else label_in(source, QUALITIES, row["mi_quality"], "qualities")
        role: Role = "user" if row["interlocutor"].strip().lower() == "client" else "system"
        session.append(Row(Seen(role, text=row["utterance_text"].strip()), truth_of(quality=quality)))
    dialogues = [Dialogue(name, session) for name, session in sessions.items()]
    return [Part(dialogues, (Task("quality", "quality", "", QUALITIES),), judge="none")]


CORPUS: Final = Corpus(
    "annomi",
    "Quality of AnnoMI's counselling sessions.",
    "annomi.csv, the folder that holds it, or the folder above text/",
    read,
)
