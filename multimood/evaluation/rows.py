"""The one format that every corpus is read into: what a model may see, apart from what is true."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # the command line lists the corpora without the packages that measuring them takes
    from multimood.evaluation.source import Source
    from multimood.perception.fusion import Taxonomy

Role = Literal["user", "system"]
Output = Literal[
    "emotion", "system_emotion", "strategy", "intensity", "emotional reactions", "interpretations", "explorations",
    "quality", "utterance quality", ""
]  # fmt: skip
"""What of a prediction answers a task; "" where nothing that is served does."""
Judge = Literal["fusion", "empathy", "quality", "none"]
Replies = Literal["none", "all", "last"]


@dataclass(frozen=True, slots=True)
class FaceEvidence:
    """What software saw in the face of a take whose picture is not at hand."""

    shares: Mapping[str, float]
    """Of the union's emotions, by a model of others unless `is_ours`; they sum to 1."""
    units: Mapping[str, float] = field(default_factory=dict)
    """Facial action units by OpenFace's name: mean intensity (_r, 0..5) or share of frames (_c, 0..1)."""
    is_ours: bool = False
    """Whether the shares are what our own head makes of the units."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One utterance as the running system would meet it. This, and nothing else of a row, is given to predictors."""

    role: Role = "user"
    speaker: str = ""
    """Tells persons apart where a dialogue has several, and finds a person again in another dialogue."""
    text: str = ""
    audio: Path | None = None
    video: Path | None = None
    """A clip; it may be the same file as `audio`."""
    picture: Path | None = None
    """A picture of one cropped face, in place of a clip: it is shown as a clip of one frame."""
    face: FaceEvidence | None = None
    """In place of both."""


@dataclass(frozen=True, slots=True)
class Row:
    """An utterance, and what people say of it: label or number (intensity: 0..1) by the name of a task's truth.

    Truth about a reply (strategy, system_emotion) stands on the row of the reply and is predicted before it is seen.
    """

    seen: Seen
    truth: Mapping[str, str | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Rows in the order in which they were said; a single utterance is a dialogue of one row.

    `group` names what the bootstrap must not tear apart: the dialogue or the speaker.
    """

    group: str
    rows: Sequence[Row]

    @property
    def seen(self) -> tuple[Seen, ...]:
        """The dialogue without its truth."""
        return tuple(row.seen for row in self.rows)


@dataclass(frozen=True, slots=True)
class Task:
    """One thing that is predicted and scored."""

    name: str
    truth: str
    """Name of its truth in the rows."""
    output: Output
    labels: tuple[str, ...] = ()
    """The corpus' labels: a model is scored over these only. Empty: a number."""
    by_group: bool = False
    """One truth for the rows of a group: their predictions are averaged."""


@dataclass(frozen=True, slots=True)
class Part:
    """Dialogues by one protocol, and the tasks that are asked of them."""

    dialogues: Sequence[Dialogue]
    tasks: Sequence[Task]
    judge: Judge = "fusion"
    taxonomy: "Taxonomy" = "mesc"
    replies: Replies = "none"
    """In place of which rows of the system, of those that follow one of the user, replies may be generated."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """A way to read files of one kind. `read` gives the parts of the split that its source names."""

    name: str
    about: str
    """One line for the command line."""
    takes: str
    """What PATH may be."""
    read: "Callable[[Source], Sequence[Part]]"
    note: str = ""
    """What a reader of the scores must know: how the protocol differs from what is usual."""
