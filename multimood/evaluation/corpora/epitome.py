"""EPITOME (Sharma et al., EMNLP 2020): how much empathy a reply to a post shows, in three mechanisms."""

from collections.abc import Sequence
from typing import Final

from multimood.evaluation.rows import Corpus, Dialogue, Part, Row, Seen, Task
from multimood.evaluation.source import Source, label_in, truth_of

FILES: Final = ("epitome_empathy.csv", "text/epitome_empathy.csv")
LEVELS: Final = ("0", "1", "2")
TASKS: Final = (
    Task("empathy_emotional_reactions", "er", "emotional reactions", LEVELS),
    Task("empathy_interpretations", "ip", "interpretations", LEVELS),
    Task("empathy_explorations", "ex", "explorations", LEVELS),
)


def read(source: Source) -> Sequence[Part]:
    """A post and a reply to it; replies to one post are a group."""
    table = source.table(source.file(*FILES), ("seeker_post", "response_post", *(task.truth for task in TASKS)))
    rows = source.chosen(table, lambda row: row.get("split"))
    dialogues = []
    for number, row in enumerate(rows):
        truth = truth_of(**{name: label_in(source, LEVELS, row[name], "levels") for name in ("er", "ip", "ex")})
        pair = [Row(Seen("user", text=row["seeker_post"])), Row(Seen("system", text=row["response_post"]), truth)]
        dialogues.append(Dialogue(row.get("sp_id") or str(number), pair))
    return [Part(dialogues, TASKS, judge="empathy")]


CORPUS: Final = Corpus(
    "epitome",
    "Empathy of replies by the trust score's empathy judge, on EPITOME.",
    "epitome_empathy.csv, the folder that holds it, or the folder above text/",
    read,
)
