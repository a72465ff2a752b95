"""The rubric: questions about a conversation, each leading to the next, some answers being faults of a severity."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from multimood import assets
from multimood.errors import ConfigurationError
from multimood.evaluation.vera.rows import rows_of

ASSET: Final = "vera_rubric.tsv"
ID, DIMENSION, SEVERITY, RISK_TYPE = "Question ID", "Dimension", "Severity", "Risk Type"
QUESTION, EXAMPLES, ANSWER, NEXT = "Question", "Examples", "Answer", "GOTO"
SEVERITIES: Final = ("red", "yellow")
"""The rubric's own words, the worst first: potential for harm, and less than what should be done."""
CLEAN: Final = "none"
YES, NO, NOT_RELEVANT = "Yes", "No", "Not Relevant"
END: Final = "END"
_SPELLED: Final = {"yelow": "yellow"}
_COLUMNS: Final = (ID, DIMENSION, SEVERITY, QUESTION, ANSWER, NEXT)


@dataclass(frozen=True, slots=True)
class Question:
    """One question. A "Yes" to one with a severity is a fault."""

    id: str
    dimension: str
    severity: str
    risk_type: str
    """Of the person at imminent risk or not; "" for both."""
    text: str
    examples: str
    answers: tuple[tuple[str, str], ...]
    """Answer and the id of the question that follows, "" for the next one."""

    def options(self) -> tuple[str, ...]:
        """Answers that may be given."""
        return tuple(answer for answer, _ in self.answers)


@dataclass(frozen=True, slots=True)
class Fault:
    """What a conversation is blamed for."""

    question: str
    dimension: str
    severity: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rubric says of a conversation."""

    faults: tuple[Fault, ...]
    asked: tuple[str, ...]
    """Ids of the questions on the way, answered or not."""
    unanswered: tuple[str, ...]
    """Those that the judge could not answer: nothing is known of them."""

    def severity(self, dimension: str) -> str:
        """The worst of a dimension, or CLEAN."""
        found = {fault.severity for fault in self.faults if fault.dimension == dimension}
        return next((severity for severity in SEVERITIES if severity in found), CLEAN)


class Rubric:
    """Questions in their order."""

    def __init__(self, questions: tuple[Question, ...], version: str) -> None:
        """Raise `ConfigurationError` for a question that is there twice or leads nowhere."""
        self.questions: Final = questions
        self.version: Final = version
        self.dimensions: Final = tuple(dict.fromkeys(question.dimension for question in questions))
        self._place = {question.id: place for place, question in enumerate(questions)}
        if len(self._place) != len(questions) or not questions:
            raise ConfigurationError(f"{version}: there must be questions, each with an id of its own")
        for question in questions:
            for _, following in question.answers:
                if following and following != END and following not in self._place:
                    raise ConfigurationError(f"{version}: question {question.id} leads to {following!r}, which is none")

    @classmethod
    def load(cls, path: Path | None = None) -> "Rubric":
        """Read the operator's rubric, or the shipped one.

        Raises:
            ConfigurationError: the file is not such.
        """
        rows = rows_of(ASSET, path, _COLUMNS)
        groups: list[list[Mapping[str, str]]] = []
        for row in rows:
            if row[ID]:
                groups.append([row])
            elif groups and row[ANSWER]:
                groups[-1].append(row)
        version = assets.version("vera-rubric", "file" if path else "2026.11", assets.read(ASSET, path))
        return cls(tuple(_question(group, version) for group in groups), version)

    def find(self, answers: Mapping[str, str]) -> Finding:
        """Go through the questions by the answers, from question id to one of its options.

        A question without an answer is passed over as if it were "No".
        """
        faults, asked, unanswered = [], [], []
        for question in self._way(answers):
            asked.append(question.id)
            answer = answers.get(question.id)
            if answer is None:
                unanswered.append(question.id)
            elif question.severity and answer == YES:
                faults.append(Fault(question.id, question.dimension, question.severity))
        return Finding(tuple(faults), tuple(asked), tuple(unanswered))

    def _way(self, answers: Mapping[str, str]) -> Iterator[Question]:
        place, branch = 0, ""
        while place < len(self.questions):
            question = self.questions[place]
            if question.risk_type and branch and question.risk_type != branch:
                place += 1
                continue
            branch = question.risk_type or branch
            yield question
            following = dict(question.answers).get(answers.get(question.id, NO), "")
            if following == END:
                return
            # Only forward: a file that leads back would never end.
            place = max(place + 1, self._place[following]) if following else place + 1


def _question(group: list[Mapping[str, str]], version: str) -> Question:
    head = group[0]
    severity = head[SEVERITY].lower()
    severity = _SPELLED.get(severity, severity)
    if severity and severity not in SEVERITIES:
        raise ConfigurationError(
            f"{version}: question {head[ID]} has severity {head[SEVERITY]!r}: it must be one of "
            f"{', '.join(SEVERITIES)}, or empty"
        )
    answers = tuple((row[ANSWER], row[NEXT]) for row in group if row[ANSWER])
    yes_no = ((YES, ""), (NO, ""), (NOT_RELEVANT, ""))
    return Question(
        head[ID], head[DIMENSION], severity, head.get(RISK_TYPE, ""), head[QUESTION], head.get(EXAMPLES, ""),
        answers or yes_no,
    )  # fmt: skip
