"""ESConv (Liu et al., ACL 2021): peers support each other, one conversation a line."""

from collections.abc import Sequence
from typing import Any, Final

from multimood.evaluation.corpora._turns import Turn, merged, spoken
from multimood.evaluation.rows import Corpus, Dialogue, Part, Role, Row, Seen, Task
from multimood.evaluation.source import Source, label_in, truth_of
from multimood.taxonomy import ESCONV_STRATEGIES

FILES: Final = ("esconv.jsonl", "dialogue/esconv.jsonl")
ROLES: Final[dict[str, Role]] = {"usr": "user", "seeker": "user", "sys": "system", "supporter": "system"}
RATED_TURNS: Final = 3
"""The intensity that a seeker reports before the conversation is said of so many of the first turns."""
HIGHEST: Final = 5


def read(source: Source) -> Sequence[Part]:
    """Every utterance of the supporter after the seeker's first turn: the protocol of BlenderBot-Joint."""
    every = source.chosen(source.objects(source.file(*FILES)), lambda one: one.get("split"))
    dialogues = [Dialogue(str(number), _rows(source, one)) for number, one in enumerate(every)]
    tasks = (
        Task("strategy", "strategy", "strategy", ESCONV_STRATEGIES),
        Task("intensity", "intensity", "intensity", by_group=True),
    )
    return [Part(dialogues, tasks, taxonomy="esconv", replies="all")]


def _rows(source: Source, conversation: dict[str, Any]) -> list[Row]:
    turns = conversation.get("dialog", conversation.get("dialogue"))
    said = spoken(source, turns, ("text", "content"), ROLES)
    rows: list[Row] = []
    intensity = _intensity(conversation)
    seeker_turns = 0
    for role, text, records in merged(said, lambda role: role == "user"):
        if role == "user":
            rated = intensity if seeker_turns < RATED_TURNS else None
            rows.append(Row(Seen("user", text=text), truth_of(intensity=rated)))
            seeker_turns += 1
        else:
            known = label_in(source, ESCONV_STRATEGIES, strategy_of(records[0]), "strategies")
            rows.append(Row(Seen("system", text=text), truth_of(strategy=known if seeker_turns else None)))
    return rows


def strategy_of(turn: Turn) -> Any:
    """Where the original file and its exports keep it."""
    annotation = turn.get("annotation")
    return turn.get("strategy") or (annotation.get("strategy") if isinstance(annotation, dict) else None)


def _intensity(conversation: dict[str, Any]) -> float | None:
    """1..5 as 0..1."""
    scores = conversation.get("survey_score")
    seeker = scores.get("seeker") if isinstance(scores, dict) else None
    try:
        reported = int(seeker["initial_emotion_intensity"]) if isinstance(seeker, dict) else 0
    except (KeyError, TypeError, ValueError):
        return None
    return (reported - 1) / (HIGHEST - 1) if 1 <= reported <= HIGHEST else None


CORPUS: Final = Corpus(
    "esconv",
    "Strategy of every supporter's utterance, and the seeker's intensity, in ESConv.",
    "esconv.jsonl, the folder that holds it, or the folder above dialogue/",
    read,
    "BlenderBot-Joint: every utterance of the supporter after the seeker's first turn, from the context before it. "
    "Intensity: the mean over the seeker's first three turns beside the report before the conversation, both 0..1.",
)
