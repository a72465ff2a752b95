"""Every evaluation on a few rows of the real validation part, given as a held-back test file would be: rows of the
split "test" only, without the columns that a file may lack.
"""

import csv
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from evaluation_world import Quiet, lines, table

from multimood.evaluation.corpora import corpora
from multimood.evaluation.corpora.annomi import QUALITIES, held_back, read_sessions
from multimood.evaluation.result import Result
from multimood.evaluation.run import evaluate
from multimood.evaluation.source import Source
from multimood.local.triton import TritonServer

pytestmark = [pytest.mark.evals, pytest.mark.timeout(300)]

SESSIONS = 5
"""Of counselling, of either quality."""

Measure = Callable[[str, Path], Result]


@pytest.fixture
def measure(triton: TritonServer) -> Measure:
    return lambda name, path: evaluate(corpora()[name], Source(path), Quiet(), url=triton.url)


def objects(data: Path, name: str, splits: set[str], most: int, without: set[str]) -> list[dict]:
    with (data / "dialogue" / f"{name}.jsonl").open() as rows:
        every = (json.loads(row) for row in rows)
        return [
            {key: value for key, value in one.items() if key not in without} | {"split": "test"}
            for one in itertools.islice((one for one in every if one["split"] in splits), most)
        ]


def rows_of(
    file: Path, most: int, keep: Callable[[dict], bool] = lambda row: row["split"] == "val", step: int = 1
) -> list:
    with file.open(encoding="utf-8", newline="") as rows:
        return [row | {"split": "test"} for row in itertools.islice(filter(keep, csv.DictReader(rows)), 0, most, step)]


def full(result: Result, task: str = "user_emotion") -> dict:
    score: dict = result.tasks[task]["full"]
    assert 0 <= score["interval"][0] <= score["interval"][1] <= 1
    assert all(about["version"] for about in result.models.values())
    return score


def test_mesc(measure: Measure, labelled_data: Path, tmp_path: Path) -> None:
    without = {"season", "episode", "problem_type", "situation"}
    rows = objects(labelled_data, "mesc", {"val"}, 12, without)
    for row in rows:
        row["utterances"] = [{k: v for k, v in u.items() if k not in {"start", "end", "video_description"}}
                             for u in row["utterances"]]  # fmt: skip
    result = measure("mesc", lines(tmp_path / "mesc.jsonl", rows))
    assert full(result)["n"] > 20
    assert full(result, "strategy")["n"] == full(result)["n"], "turn pairs"
    assert full(result, "strategy_utterance")["n"] > full(result, "strategy")["n"]
    constant = full(result, "system_emotion")
    assert constant["accuracy"] == constant["majority"]["accuracy"], "no more is claimed than is usual"


def test_esconv(measure: Measure, labelled_data: Path, tmp_path: Path) -> None:
    without = {"situation", "problem_type", "seeker_question1", "seeker_question2", "supporter_question1"}
    rows = objects(labelled_data, "esconv", {"valid"}, 60, without)
    result = measure("esconv", lines(tmp_path / "esconv.jsonl", rows))
    score = full(result, "strategy")
    assert score["n"] > 600
    assert score["accuracy"] > score["majority"]["accuracy"] + 0.05
    assert result.ratings["intensity"]["full"]["n"] == 60


def test_escot(measure: Measure, labelled_data: Path, tmp_path: Path) -> None:
    rows = objects(labelled_data, "escot", {"val"}, 40, {"strategy_source", "emotion_stimuli", "strategy_reason"})
    result = measure("escot", lines(tmp_path / "escot.jsonl", rows))
    assert full(result, "strategy")["n"] > 25
    assert full(result)["n"] > 10


def test_meld(measure: Measure, labelled_data: Path, tmp_path: Path) -> None:
    rows = rows_of(labelled_data / "text" / "meld.csv", 300)
    kept = ("split", "dialogue_id", "utt", "speaker", "text", "label")
    result = measure("meld", table(tmp_path / "meld.csv", [{name: row[name] for name in kept} for row in rows]))
    score = full(result)
    assert score["n"] == 300
    assert score["weighted_f1"] > score["majority"]["weighted_f1"] + 0.2
    assert score["macro_f1"] > result.tasks["user_emotion"]["none"]["macro_f1"]


def speech(data: Path, tmp_path: Path, corpus: str, keep: Callable[[dict], bool]) -> Path:
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / corpus).symlink_to(data / "audio" / corpus)
    rows = rows_of(data / "audio" / corpus / "manifest.csv", 240, keep, step=9)
    kept = ("path", "label", "speaker", "split")
    return table(tmp_path / "manifest.csv", [{name: row[name] for name in kept} for row in rows])


@pytest.mark.parametrize(("corpus", "least"), [("ravdess", 0.5), ("emodb", 0.6), ("nemo", 0.35)])
def test_voices(measure: Measure, labelled_data: Path, tmp_path: Path, corpus: str, least: float) -> None:
    held = {"emodb": {"emodb_10", "emodb_15"}, "nemo": {"nemo_KD0", "nemo_MP0"}}.get(corpus)
    file = speech(
        labelled_data, tmp_path, corpus, lambda row: row["speaker"] in held if held else row["split"] == "val"
    )
    score = full(measure(corpus, file))
    assert score["uar"] > least


def test_faces(measure: Measure, labelled_data: Path, tmp_path: Path) -> None:
    (tmp_path / "face").mkdir()
    (tmp_path / "face" / "fer2013").symlink_to(labelled_data / "face" / "fer2013")
    rows = rows_of(labelled_data / "face" / "fer2013" / "manifest.csv", 760, step=8)
    result = measure("fer2013", table(tmp_path / "manifest.csv", rows))
    assert full(result)["n"] == 95
    assert full(result)["uar"] > 0.35
    assert result.notes["video missing: no_face"] < 20


def test_voice_and_face_are_better_than_either(measure: Measure, labelled_data: Path, tmp_path: Path) -> None:
    (tmp_path / "audio").symlink_to(labelled_data / "audio")
    rows = rows_of(labelled_data / "av" / "ravdess_paired.csv", 240, step=4)
    result = measure("ravdess_paired", table(tmp_path / "av" / "ravdess_paired.csv", rows))
    by_mask = result.tasks["user_emotion"]
    assert list(by_mask) == ["full", "audio", "video", "audio+video"]
    assert by_mask["full"]["uar"] == by_mask["audio+video"]["uar"]
    assert by_mask["full"]["uar"] > max(by_mask[one]["uar"] for one in ("audio", "video"))


def test_empathy(measure: Measure, labelled_data: Path, tmp_path: Path) -> None:
    rows = rows_of(labelled_data / "text" / "epitome_empathy.csv", 120)
    result = measure("epitome", table(tmp_path / "epitome_empathy.csv", rows))
    for mechanism in ("emotional_reactions", "interpretations", "explorations"):
        score = full(result, f"empathy_{mechanism}")
        assert score["macro_f1"] > score["majority"]["macro_f1"] + 0.1


def test_sessions(measure: Measure, labelled_data: Path, tmp_path: Path) -> None:
    every = read_sessions(Source(labelled_data))
    held = held_back(every)
    chosen = {
        session.name
        for quality in QUALITIES
        for session in [one for one in every if one.quality == quality and one.video in held][:SESSIONS]
    }
    file = labelled_data / "text" / "annomi.csv"
    rows = rows_of(file, 100_000, lambda row: row["transcript_id"] in chosen)
    score = measure("annomi", table(tmp_path / "annomi.csv", rows)).tasks["quality"]["full"]
    assert score["n"] == len(chosen)
    assert score["accuracy"] > score["majority"]["accuracy"] + 0.15
    assert score["macro_f1"] > score["majority"]["macro_f1"] + 0.2
