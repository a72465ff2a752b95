"""The row format itself, one utterance a line: a corpus of one's own without writing code.

    {"dialogue": "d1", "role": "user", "text": "...", "truth": {"user_emotion": "joy"}}
    {"dialogue": "d1", "role": "system", "text": "...", "truth": {"strategy": "open question"}}
    {"group": "speaker 7", "audio": "voices/7/12.wav", "video": "clips/7/12.mp4", "truth": {"user_emotion": "fear"}}

Every field may be left out. Lines of one `dialogue` belong together, in their order; a line without is a dialogue of
its own. Paths are relative to the file, or to a folder above it. A first line {"labels": {"user_emotion": [...]}} says
which labels the corpus has; strategies are MESC's, or ESConv's with {"taxonomy": "esconv"} in that line.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from multimood.errors import ConfigurationError
from multimood.evaluation.rows import Corpus, Dialogue, Part, Role, Row, Seen, Task
from multimood.evaluation.source import Source, label_in
from multimood.taxonomy import EMOTIONS, ESCONV_STRATEGIES, MESC_STRATEGIES

if TYPE_CHECKING:
    from multimood.perception.fusion import Taxonomy

HEAD: Final = frozenset({"labels", "taxonomy"})
STRATEGIES: Final[Mapping["Taxonomy", tuple[str, ...]]] = {"mesc": MESC_STRATEGIES, "esconv": ESCONV_STRATEGIES}


def read(source: Source) -> Sequence[Part]:
    """Rows as they are."""
    file = source.file("rows.jsonl")
    first, *others = source.objects(file)
    head = first if set(first) & HEAD else {}
    rows = source.chosen(others if head else [first, *others], lambda row: row.get("split"))
    taxonomy = _taxonomy(head)
    tasks = _tasks(head, taxonomy)
    dialogues: dict[str, list[Row]] = {}
    groups: dict[str, str] = {}
    for number, row in enumerate(rows):
        name = str(row.get("dialogue", f"line {number}"))
        groups.setdefault(name, str(row.get("group", name)))
        dialogues.setdefault(name, []).append(Row(_seen(source, file, row), _truth(source, row, tasks)))
    source.check_media()
    said = [Dialogue(groups[name], rows) for name, rows in dialogues.items()]
    asked = [task for task in tasks if any(task.truth in row.truth for one in said for row in one.rows)]
    return [Part(said, asked, taxonomy=taxonomy, replies="all")]


def _taxonomy(head: Mapping[str, Any]) -> "Taxonomy":
    name = head.get("taxonomy", "mesc")
    if name not in STRATEGIES:
        raise ConfigurationError(f"the first line's taxonomy is {name!r}: it must be mesc or esconv")
    taxonomy: Taxonomy = name
    return taxonomy


def _tasks(head: Mapping[str, Any], taxonomy: "Taxonomy") -> Sequence[Task]:
    declared = head.get("labels", {})
    known = {"user_emotion": EMOTIONS, "system_emotion": EMOTIONS, "strategy": STRATEGIES[taxonomy]}
    labels = dict(known)
    for name, own in declared.items() if isinstance(declared, dict) else ():
        if name not in known or not isinstance(own, list) or not set(map(str, own)) <= set(known[name]) or not own:
            allowed = ", ".join(known.get(name, tuple(known)))
            raise ConfigurationError(f"the first line's labels of {name!r} do not fit: allowed are {allowed}")
        labels[name] = tuple(own)
    return (
        Task("user_emotion", "user_emotion", "emotion", labels["user_emotion"]),
        Task("strategy", "strategy", "strategy", labels["strategy"]),
        Task("system_emotion", "system_emotion", "system_emotion", labels["system_emotion"]),
        Task("intensity", "intensity", "intensity"),
    )


def _seen(source: Source, file: Path, row: Mapping[str, Any]) -> Seen:
    def path(name: str) -> Path | None:
        recorded = row.get(name)
        return source.media(file, recorded) if isinstance(recorded, str) and recorded else None

    role: Role = "system" if row.get("role") == "system" else "user"
    text = row.get("text")
    words = text.strip() if isinstance(text, str) else ""
    return Seen(role, str(row.get("speaker", "")), words, path("audio"), path("video"), path("picture"))


def _truth(source: Source, row: Mapping[str, Any], tasks: Sequence[Task]) -> dict[str, str | float]:
    truth = row.get("truth")
    given: Mapping[str, Any] = truth if isinstance(truth, dict) else {}
    found: dict[str, str | float] = {}
    for task in tasks:
        value = given.get(task.truth)
        known = label_in(source, task.labels, value, task.truth) if task.labels else _number(source, value)
        if known is not None:
            found[task.truth] = known
    return found


def _number(source: Source, value: Any) -> float | None:
    if isinstance(value, (int, float)) and 0 <= value <= 1:
        return float(value)
    if value is not None:
        source.note("intensities that are not 0..1, not scored")
    return None


CORPUS: Final = Corpus(
    "rows",
    "A corpus of your own, one JSON object an utterance (docs/evaluation.md).",
    "a .jsonl file, or a folder with rows.jsonl",
    read,
)
