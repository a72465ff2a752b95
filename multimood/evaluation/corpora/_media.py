"""What the readers of manifests (path, label, speaker, split; one file a row) share."""

from collections.abc import Callable, Sequence
from pathlib import Path

from multimood.evaluation.rows import Dialogue, Part, Row, Seen, Task
from multimood.evaluation.source import Source, label_in, truth_of
from multimood.taxonomy import CORPUS_EMOTIONS


def manifest(
    folder: str, corpus: str, seen: Callable[[Path], Seen], *, speakers_split: bool = False
) -> Callable[[Source], Sequence[Part]]:
    """A reader of `manifest.csv`. Rows without a label of the corpus are counted and left out.

    With `speakers_split`, a file that has no training part is parted by its speakers where a part is asked for that it
    has not: `val` are those that `multimood train` holds back.
    """

    def read(source: Source) -> Sequence[Part]:
        file = source.file("manifest.csv", f"{folder}/manifest.csv")
        rows = source.table(file, ("path", "label"))
        if speakers_split:
            _split_speakers(source, rows)
        rows = source.chosen(rows, lambda row: row.get("split"))
        labels = CORPUS_EMOTIONS[corpus]
        dialogues = []
        for row in rows:
            known = label_in(source, labels, row["label"], "emotions")
            if known is None:
                source.note("rows without an emotion left out")
                continue
            one = Row(seen(source.media(file, row["path"])), truth_of(user_emotion=known))
            dialogues.append(Dialogue(row.get("speaker") or row["path"], [one]))
        source.check_media()
        return [Part(dialogues, (Task("user_emotion", "user_emotion", "emotion", labels),))]

    return read


def _split_speakers(source: Source, rows: list[dict[str, str]]) -> None:
    from multimood.training.fusion.corpora import HELD_SPEAKERS  # noqa: PLC0415 - numpy is not needed to list corpora

    if source.split not in {"train", "val"} or any(row.get("split") in {"train", "val"} for row in rows):
        return
    speakers = sorted({row.get("speaker", "") for row in rows})
    for row in rows:
        row["split"] = "val" if row.get("speaker", "") in speakers[HELD_SPEAKERS] else "train"
