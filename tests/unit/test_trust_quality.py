"""The judge of counselling quality, and how AnnoMI is read and parted. All sentences were made up."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from multimood.errors import ConfigurationError
from multimood.evaluation import metrics, quality
from multimood.evaluation.corpora.annomi import held_back, read, read_sessions
from multimood.evaluation.encode import Encoded
from multimood.evaluation.rows import Seen
from multimood.evaluation.source import Source
from multimood.trust import EmpathyHead, QualityHead, QualityJudge, TrustCase, Turn
from multimood.trust.judges import learned_judges
from multimood.trust.quality import likelihood

pytestmark = pytest.mark.unit


def head_at(path: Path, weights: Sequence[float], bias: float = 0.0, worth: Sequence[float] = (1.0, 0.0)) -> Path:
    np.savez(
        path, weights=np.array(weights, np.float32), bias=np.float32(bias), worth=np.array(worth), edition="2031.01"
    )
    return path


def table(path: Path, rows: Sequence[dict[str, str]]) -> Path:
    with path.open("w", newline="") as lines:
        out = csv.DictWriter(lines, rows[0].keys())
        out.writeheader()
        out.writerows(rows)
    return path


def sessions(count: int = 12, **more: str) -> list[dict[str, str]]:
    return [
        {
            "transcript_id": str(number), "mi_quality": "low" if number % 2 else "high", "interlocutor": who,
            "video_url": f"v{number // 4}-{number % 2}", "utterance_text": f"{who} {number}", **more,
        }
        for number in range(count)
        for who in ("therapist", "client", "therapist")
    ]  # fmt: skip


async def test_a_reply_is_scored_by_what_its_words_are_like(tmp_path: Path) -> None:
    head = QualityHead.load(head_at(tmp_path / "q.npz", [3.0, -3.0], worth=(0.5, 0.25)))

    async def embed(texts: Sequence[str]) -> np.ndarray:
        return np.array([[1, 0] if "good" in text else [0, 1] for text in texts], np.float32)

    judge = QualityJudge(head, embed)
    good = await judge.score(TrustCase((Turn("user", "x"),), "a good one"))
    bad = await judge.score(TrustCase((Turn("user", "x"),), "another"))
    assert good == {"reliability": pytest.approx(1 + 9 * likelihood(1.75))}
    assert bad == {"reliability": pytest.approx(1 + 9 * likelihood(-1.25))}
    assert await judge.score(TrustCase((), "a good one")) == {}
    assert await judge.score(TrustCase((Turn("user", "x"),), " ")) == {}


async def test_both_learned_judges_embed_once() -> None:
    asked: list[Sequence[str]] = []

    async def embed(texts: Sequence[str]) -> np.ndarray:
        asked.append(texts)
        return np.full((len(texts), EmpathyHead.load().width), 0.05, np.float32)

    found: dict[str, float] = {}
    for judge in learned_judges(embed):
        found |= await judge.score(TrustCase((Turn("user", "I failed"),), "I hear you."))
    assert set(found) == {"empathy", "reliability"}
    assert asked == [["I failed", "I hear you."]]


@pytest.mark.parametrize(
    "damage", [{"weights": [[1.0]]}, {"weights": [float("nan")]}, {"weights": [1.0], "worth": (1.0,)}]
)
def test_a_file_that_is_no_head_is_refused(tmp_path: Path, damage: dict[str, Sequence[float]]) -> None:
    with pytest.raises(ConfigurationError, match=r"q\.npz"):
        QualityHead.load(head_at(tmp_path / "q.npz", **damage))
    (tmp_path / "q.npz").write_bytes(b"PK")
    with pytest.raises(ConfigurationError, match="multimood train quality"):
        QualityHead.load(tmp_path / "q.npz")


async def test_another_encoder_is_refused() -> None:
    async def embed(texts: Sequence[str]) -> np.ndarray:
        return np.zeros((len(texts), 7), np.float32)

    with pytest.raises(ConfigurationError, match="another encoder"):
        await QualityJudge(QualityHead.load(), embed).score(TrustCase((Turn("user", "x"),), "y"))


def test_no_video_is_in_two_parts(tmp_path: Path) -> None:
    path = table(tmp_path / "annomi.csv", sessions(40))
    found = read_sessions(Source(path, "all"))
    held = held_back(found)
    assert {session.quality for session in found if session.video in held} == {"high", "low"}
    by_part = {}
    for part in ("train", "val", "all", "test"):
        (read_part,) = read(Source(path, part))
        by_part[part] = {dialogue.group for dialogue in read_part.dialogues}
    assert by_part["val"] == held
    assert by_part["train"].isdisjoint(held)
    assert by_part["train"] | held == by_part["all"] == by_part["test"], "a file without parts is all of it"


def test_parts_that_a_file_has_count(tmp_path: Path) -> None:
    rows = sessions(4, split="train") + [row | {"transcript_id": "t", "split": "test"} for row in sessions(1)]
    (part,) = read(Source(table(tmp_path / "annomi.csv", rows), "test"))
    assert len(part.dialogues) == 1


def test_a_session_is_the_mean_of_what_its_supporter_said(tmp_path: Path) -> None:
    head = QualityHead.load(head_at(tmp_path / "q.npz", [1.0]))
    dialogue = [Seen("system", text=""), Seen("user", text="a"), Seen("system", text="b"), Seen("system", text="c")]
    vectors = {("text", text): np.array([value], np.float32) for text, value in (("a", 9), ("b", 2), ("c", -1))}
    first, person, *supporter = quality.judge(head, dialogue, Encoded(vectors, {}, frozenset()))  # type: ignore[arg-type]
    assert first == {"quality": {"high": pytest.approx(likelihood(0.5)), "low": pytest.approx(1 - likelihood(0.5))}}
    assert person is None
    assert [round(one["utterance quality"]["high"], 3) for one in supporter] == [0.881, 0.269]  # type: ignore[index]


@pytest.mark.slow
def test_area_under_the_curve() -> None:
    truth, groups = np.array([1, 1, 0, 0]), list("abcd")
    assert metrics.auc(np.array([4.0, 3, 2, 1]), truth, groups) == (1.0, [1.0, 1.0])
    value, interval = metrics.auc(np.array([4.0, 1, 3, 2]), truth, groups)
    assert value == 0.5
    assert interval is not None
    assert interval[0] < 0.5 < interval[1]
    value, interval = metrics.auc(np.array([1.0]), np.array([1]), ["a"])
    assert np.isnan(value)
    assert interval is None
