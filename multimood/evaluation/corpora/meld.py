"""MELD (Poria et al., ACL 2019): scenes of a television series with several speakers, one utterance a row."""

from collections.abc import Sequence
from typing import Final

from multimood.evaluation.rows import Corpus, Dialogue, Part, Row, Seen, Task
from multimood.evaluation.source import Source, label_in, truth_of
from multimood.taxonomy import CORPUS_EMOTIONS

FILES: Final = ("meld.csv", "text/meld.csv")
EMOTIONS: Final = CORPUS_EMOTIONS["meld"]


def read(source: Source) -> Sequence[Part]:
    """Whole scenes in order. Each speaker is a person; what others say is, to them, what they are answered."""
    every = source.chosen(
        source.table(source.file(*FILES), ("dialogue_id", "text", "label")), lambda row: row.get("split")
    )
    scenes: dict[str, list[dict[str, str]]] = {}
    for row in every:
        scenes.setdefault(row["dialogue_id"], []).append(row)
    dialogues = []
    for name, rows in scenes.items():
        if all(row.get("utt", "").isdecimal() for row in rows):
            rows.sort(key=lambda row: int(row["utt"]))
        dialogues.append(
            Dialogue(
                name,
                [
                    Row(
                        Seen(speaker=row.get("speaker", ""), text=row["text"].strip()),
                        truth_of(user_emotion=label_in(source, EMOTIONS, row["label"], "emotions")),
                    )
                    for row in rows
                ],
            )
        )
    return [Part(dialogues, (Task("user_emotion", "user_emotion", "emotion", EMOTIONS),))]


CORPUS: Final = Corpus(
    "meld",
    "Emotion of every utterance in MELD, from its words and the turns before it.",
    "meld.csv, the folder that holds it, or the folder above text/",
    read,
)
