"""Dialogues as the fusion model meets them: turns in order, and what is known of each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from multimood.evaluation.corpora import escot
from multimood.taxonomy import EMOTIONS, ESCONV_STRATEGIES, MESC_STRATEGIES, STAGES
from multimood.training.fusion.corpora import read_lines, read_table

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
CONTEXT: Final = 5
"""Turns of ESCoT's contexts that are read: each is of one reply only, and texts take time to embed."""
_MOST_RATED: Final = 5


@dataclass(slots=True)
class Turn:
    """What one person said; numbers are indices of labels, -1 (NaN) where unknown.

    `emotion`, `intensity` (their own report, 0..1) and `stage` are of this turn; `strategy` and `system_emotion` are
    those that a supporter's turn shows.
    """

    speaker: str
    text: str
    emotion: int = -1
    strategy: int = -1
    system_emotion: int = -1
    stage: int = -1
    intensity: float = float("nan")


@dataclass(frozen=True, slots=True)
class Dialogue:
    """`supporter` is the speaker who stands where the system would; "" where all are persons.

    `protocol` is the corpus, with `+` where each single utterance is a turn though its speaker goes on.
    """

    protocol: str
    group: str
    held: bool
    supporter: str
    turns: Sequence[Turn]

    @property
    def corpus(self) -> str:
        """Whose labels it has."""
        return self.protocol.rstrip("+")


def read_dialogues(data: Path) -> list[Dialogue]:
    """MESC (turn pairs and single utterances), ESConv, ESCoT, MELD and DailyDialog.

    Raises:
        NotFoundError: a data set is not there.
    """
    mesc = list(read_lines(data / "dialogue" / "mesc.jsonl"))
    esconv = list(enumerate(read_lines(data / "dialogue" / "esconv.jsonl")))
    return [
        *(_mesc(one, merged=True) for one in mesc),
        *(_mesc(one, merged=False) for one in mesc),
        *(_esconv(number, one) for number, one in esconv),
        *(_escot(one) for one in read_lines(data / "dialogue" / "escot.jsonl")),
        *_scenes(data / "text" / "meld.csv", "meld"),
        *_scenes(data / "text" / "dailydialog_reccon.csv", "dailydialog"),
    ]


def _mesc(dialogue: dict[str, Any], *, merged: bool) -> Dialogue:
    said = [turn for turn in dialogue["utterances"] if turn["text"].strip()]
    runs = _runs(said) if merged else [[one] for one in said]
    turns = []
    for run in runs:
        turn = Turn(run[0]["speaker"], _joined(run))
        if turn.speaker == "Client":
            turn.emotion = EMOTIONS.index(run[-1]["emotion"])
        else:
            turn.strategy = MESC_STRATEGIES.index(run[0]["strategy"])
            turn.system_emotion = EMOTIONS.index(run[0]["emotion"])
        turns.append(turn)
    name = "mesc" if merged else "mesc+"
    return Dialogue(name, f"mesc_{dialogue['dialogue_id']}", dialogue["split"] != "train", "Therapist", turns)


def _esconv(number: int, conversation: dict[str, Any]) -> Dialogue:
    """The seeker's consecutive utterances are one turn; each of the supporter's is one (BlenderBot-Joint)."""
    turns: list[Turn] = []
    heads: list[tuple[Turn, int]] = []
    spoken = (turn for turn in conversation["dialog"] if turn["text"].strip())
    for speaker, run in groupby(spoken, key=lambda turn: turn["speaker"]):
        said = list(run)
        if speaker == "usr":
            turns.append(Turn("usr", _joined(said)))
            heads.append((turns[-1], -1))
            continue
        acts = [ESCONV_STRATEGIES.index(turn["strategy"].lower()) for turn in said]
        if heads:
            heads[-1] = (heads[-1][0], acts[0])
        turns += [Turn("sys", turn["text"].strip(), strategy=act) for turn, act in zip(said, acts, strict=True)]
    for (turn, _), stage in zip(heads, stages([act for _, act in heads]), strict=True):
        turn.stage = stage
    _rate([turn for turn, _ in heads], conversation["survey_score"]["seeker"])
    return Dialogue("esconv", f"esconv_{number}", conversation["split"] != "train", "sys", turns)


def _escot(one: dict[str, Any]) -> Dialogue:
    """The end of the context of one reply, and the reply's strategy in ESConv's terms.

    The emotion is known where a word of its sentence names one.
    """
    runs = _runs([turn for turn in one["dialog"] if turn["content"].strip()])[-CONTEXT:]
    turns = [
        Turn("usr" if run[0]["speaker"] == "seeker" else "sys", _joined([{"text": turn["content"]} for turn in run]))
        for run in runs
    ]
    felt = escot.emotion_in(one["emotion"])
    if felt is not None and turns and turns[-1].speaker == "usr":
        turns[-1].emotion = EMOTIONS.index(felt)
    named = (one["strategy"] or "").strip().lower()
    known = escot.AS_ESCONV.get(named, named)
    reply = Turn("sys", one["response"].strip())
    if known in ESCONV_STRATEGIES:
        reply.strategy = ESCONV_STRATEGIES.index(known)
    return Dialogue("escot", f"escot_{one['id']}", one["split"] != "train", "sys", [*turns, reply])


def _runs(said: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    return [list(run) for _, run in groupby(said, key=lambda turn: turn["speaker"])]


def _scenes(path: Path, corpus: str) -> Iterator[Dialogue]:
    scenes: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in read_table(path):
        scenes.setdefault((row["split"], row["dialogue_id"]), []).append(row)
    for (split, name), rows in scenes.items():
        rows.sort(key=lambda row: int(row["utt"]))
        turns = [
            Turn(row["speaker"], row["text"].strip(), EMOTIONS.index(row["label"]) if row["label"] in EMOTIONS else -1)
            for row in rows
            if row["text"].strip()
        ]
        yield Dialogue(corpus, f"{corpus}_{split}_{name}", split != "train", "", turns)


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


def _joined(said: Sequence[dict[str, Any]]) -> str:
    return " ".join(item["text"].strip() for item in said)


def _rate(turns: Sequence[Turn], report: dict[str, Any]) -> None:
    share = min(RATED_TURNS, len(turns) // 2)
    for name, rated in (("initial", turns[:share]), ("final", turns[len(turns) - share :])):
        value: str | None = report.get(f"{name}_emotion_intensity")
        if value is None:
            continue
        for turn in rated:
            turn.intensity = (int(value) - 1) / (_MOST_RATED - 1)
