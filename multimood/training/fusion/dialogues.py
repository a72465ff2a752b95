"""Support conversations as turns: what the person said, and what the supporter did next.

A turn is everything one person says before the other speaks, for that is what a platform sends as one utterance. The
supporter's act is that of the first sentence of the answer: the choice made at that moment.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from multimood.taxonomy import EMOTIONS, ESCONV_STRATEGIES, MESC_STRATEGIES, STAGES
from multimood.training.fusion.corpora import read_lines

STAGES_OF: Final = MappingProxyType(
    {
        "question": (0,),
        "restatement or paraphrasing": (0,),
        "reflection of feelings": (0, 1),
        "self-disclosure": (0, 1, 2),
        "affirmation and reassurance": (1, 2),
        "providing suggestions": (2,),
        "information": (2,),
        "others": (0, 1, 2),
    }
)
"""In which stages a strategy belongs (Liu et al., ACL 2021, figure 3)."""
RATED_TURNS: Final = 3
"""The intensity before a conversation is said of so many of its first turns, the one after it of so many last ones."""
_MOST_RATED: Final = 5


@dataclass(frozen=True, slots=True)
class Turns:
    """The persons' turns of one corpus, dialogue by dialogue; int64 [n] unless said otherwise, -1 where unknown.

    `strategy` and `system_emotion` are of the answer, `stage` is where the conversation stands, `intensity` (float, NaN
    where unknown) is the person's own report as 0..1; `strategies` names the labels; `previous` is the turn before.
    """

    corpus: str
    strategies: tuple[str, ...]
    texts: tuple[str, ...]
    strategy: NDArray[np.int64]
    system_emotion: NDArray[np.int64]
    stage: NDArray[np.int64]
    intensity: NDArray[np.float64]
    step: NDArray[np.int64]
    previous: NDArray[np.int64]
    groups: NDArray[np.str_]
    held: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(slots=True)
class _Turn:
    text: str
    strategy: int = -1
    system_emotion: int = -1
    stage: int = -1
    intensity: float = float("nan")


def read_mesc(data: Path) -> Turns:
    """MESC's clients and therapists.

    Raises:
        NotFoundError: it is not there.
    """
    dialogues = []
    for dialogue in read_lines(data / "dialogue" / "mesc.jsonl"):
        turns: list[_Turn] = []
        for person, said in _runs(dialogue["utterances"], "Client"):
            if person:
                turns.append(_Turn(_joined(said)))
            elif turns:
                turns[-1].strategy = MESC_STRATEGIES.index(said[0]["strategy"])
                turns[-1].system_emotion = EMOTIONS.index(said[0]["emotion"])
        dialogues.append((f"mesc_{dialogue['dialogue_id']}", dialogue["split"] != "train", turns))
    return _turns("mesc", MESC_STRATEGIES, dialogues)


def read_esconv(data: Path) -> Turns:
    """ESConv's seekers and supporters.

    Raises:
        NotFoundError: it is not there.
    """
    dialogues = []
    for number, dialogue in enumerate(read_lines(data / "dialogue" / "esconv.jsonl")):
        turns: list[_Turn] = []
        for person, said in _runs(dialogue["dialog"], "usr"):
            if person:
                turns.append(_Turn(_joined(said)))
            elif turns:
                turns[-1].strategy = ESCONV_STRATEGIES.index(said[0]["strategy"].lower())
        for turn, stage in zip(turns, stages([turn.strategy for turn in turns]), strict=True):
            turn.stage = stage
        _rate(turns, dialogue["survey_score"]["seeker"])
        dialogues.append((f"esconv_{number}", dialogue["split"] != "train", turns))
    return _turns("esconv", ESCONV_STRATEGIES, dialogues)


def stages(strategies: Sequence[int]) -> list[int]:
    """Cut a conversation into exploration, comforting and action: the stage of each turn, in order, 0 to 2.

    ESConv does not say when a stage begins. The two cuts are put where the fewest strategies (indices of
    ESCONV_STRATEGIES, -1 for none) are out of their stage; of equally good cuts the one nearest to thirds is taken.
    """
    count = len(strategies)
    misfit = np.zeros((count + 1, len(STAGES)))
    for number, strategy in enumerate(strategies):
        fits = STAGES_OF[ESCONV_STRATEGIES[strategy]] if strategy >= 0 else range(len(STAGES))
        misfit[number + 1] = misfit[number] + [stage not in fits for stage in range(len(STAGES))]
    best = min(
        ((first, second) for first in range(count + 1) for second in range(first, count + 1)),
        key=lambda cut: (
            misfit[cut[0], 0] + misfit[cut[1], 1] - misfit[cut[0], 1] + misfit[count, 2] - misfit[cut[1], 2],
            abs(cut[0] - count / 3) + abs(cut[1] - 2 * count / 3),
        ),
    )
    return [int(number >= best[0]) + int(number >= best[1]) for number in range(count)]


def _runs(said: Sequence[dict[str, Any]], person: str) -> Iterator[tuple[bool, list[dict[str, Any]]]]:
    spoken = (item for item in said if item["text"].strip())
    for is_person, run in groupby(spoken, key=lambda item: item["speaker"] == person):
        yield bool(is_person), list(run)


def _joined(said: Sequence[dict[str, Any]]) -> str:
    return " ".join(item["text"].strip() for item in said)


def _rate(turns: Sequence[_Turn], report: dict[str, Any]) -> None:
    share = min(RATED_TURNS, len(turns) // 2)
    for name, rated in (("initial", turns[:share]), ("final", turns[len(turns) - share :])):
        value: str | None = report.get(f"{name}_emotion_intensity")
        if value is None:
            continue
        for turn in rated:
            turn.intensity = (int(value) - 1) / (_MOST_RATED - 1)


def _turns(corpus: str, strategies: tuple[str, ...], dialogues: Sequence[tuple[str, bool, list[_Turn]]]) -> Turns:
    turns = [turn for _, _, part in dialogues for turn in part]
    steps = np.array([step for _, _, part in dialogues for step in range(len(part))], np.int64)
    return Turns(
        corpus,
        strategies,
        tuple(turn.text for turn in turns),
        np.array([turn.strategy for turn in turns], np.int64),
        np.array([turn.system_emotion for turn in turns], np.int64),
        np.array([turn.stage for turn in turns], np.int64),
        np.array([turn.intensity for turn in turns]),
        steps,
        np.where(steps > 0, np.arange(len(turns)) - 1, -1),
        np.array([name for name, _, part in dialogues for _ in part]),
        np.array([held for _, held, part in dialogues for _ in part]),
    )
