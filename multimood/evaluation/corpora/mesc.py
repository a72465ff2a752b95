"""MESC (Chu et al. 2024, arXiv 2408.03650): therapy sessions of a television series, one dialogue a line."""

from collections.abc import Sequence
from typing import Any, Final

from multimood.evaluation.corpora._turns import merged, spoken
from multimood.evaluation.rows import Corpus, Dialogue, Part, Role, Row, Seen, Task
from multimood.evaluation.source import Source, label_in, truth_of
from multimood.taxonomy import CORPUS_EMOTIONS, MESC_STRATEGIES

FILES: Final = ("mesc.jsonl", "dialogue/mesc.jsonl")
ROLES: Final[dict[str, Role]] = {"client": "user", "therapist": "system"}
EMOTIONS: Final = CORPUS_EMOTIONS["mesc"]
TASKS: Final = (
    Task("user_emotion", "user_emotion", "emotion", EMOTIONS),
    Task("strategy", "strategy", "strategy", MESC_STRATEGIES),
    Task("system_emotion", "system_emotion", "system_emotion", EMOTIONS),
)


def read(source: Source) -> Sequence[Part]:
    """Turn pairs, then single utterances."""
    every = source.chosen(source.objects(source.file(*FILES)), lambda dialogue: dialogue.get("split"))
    pairs, utterances = [], []
    for number, dialogue in enumerate(every):
        group = f"{dialogue.get('dialogue_id', '')}/{number}"
        said = spoken(source, dialogue.get("utterances"), ("text",), ROLES)
        labels = [_labels(source, role, turn) for role, _, turn in said]
        single = [Row(Seen(role, text=text), truth) for (role, text, _), truth in zip(said, labels, strict=True)]
        utterances.append(Dialogue(group, single))
        known = {id(turn): truth for (_, _, turn), truth in zip(said, labels, strict=True)}
        pairs.append(Dialogue(group, _pairs(list(merged(said)), known)))
    by_utterance = [Task(f"{task.name}_utterance", task.truth, task.output, task.labels) for task in TASKS]
    return [Part(pairs, TASKS, replies="all"), Part(utterances, by_utterance)]


def _labels(source: Source, role: Role, turn: Any) -> dict[str, str | float]:
    emotion = label_in(source, EMOTIONS, turn.get("emotion"), "emotions")
    if role == "user":
        return truth_of(user_emotion=emotion)
    strategy = label_in(source, MESC_STRATEGIES, turn.get("strategy"), "strategies")
    return truth_of(strategy=strategy, system_emotion=emotion)


def _pairs(turns: Sequence[tuple[Role, str, list[Any]]], known: dict[int, dict[str, str | float]]) -> list[Row]:
    """Client turn -> therapist turn: the emotion of the last client's utterance, the act of the therapist's first.

    What is in no pair (an opening of the therapist, a last word of the client) is said, but not scored.
    """
    rows = []
    for place, (role, text, said) in enumerate(turns):
        paired = place + 1 < len(turns) if role == "user" else place > 0
        decides = said[-1] if role == "user" else said[0]
        rows.append(Row(Seen(role, text=text), known[id(decides)] if paired else {}))
    return rows


CORPUS: Final = Corpus(
    "mesc",
    "Emotion, strategy and the system's emotion in MESC's therapy dialogues.",
    "mesc.jsonl, the folder that holds it, or the folder above dialogue/",
    read,
    "user_emotion, strategy, system_emotion: turn pairs (consecutive utterances of a speaker are one turn; emotion of "
    "the client's last, strategy and emotion of the therapist's first utterance). *_utterance: every single utterance.",
)
