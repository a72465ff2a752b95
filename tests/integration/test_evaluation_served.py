"""Evaluations through the real models: of invented words, and of a clip with a face and a voice."""

import copy
import json
import os
from pathlib import Path

import pytest
from evaluation_world import Quiet, lines, mesc, table
from real_clips import Clips
from typer.testing import CliRunner

from multimood.cli import app
from multimood.errors import UnavailableError
from multimood.evaluation.corpora import corpora
from multimood.evaluation.run import evaluate
from multimood.evaluation.served import URL_VARIABLE
from multimood.evaluation.source import Source
from multimood.local.triton import TritonServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def measured(name: str, path: Path, url: str, replies: int = 0) -> dict:
    result = evaluate(corpora()[name], Source(path), Quiet(), url=url, replies=replies)
    return {"tasks": result.tasks, "models": result.models, "notes": result.notes, "replies": result.replies}


def test_real_predictions_do_not_change_with_labels(tmp_path: Path, triton: TritonServer) -> None:
    changed = copy.deepcopy(mesc())
    for dialogue in changed:
        dialogue["situation"] = dialogue["problem_type"] = "something else altogether"
        for said in dialogue["utterances"]:
            said["emotion"] = "joy"
            said["strategy"] = "advisement"
    one = measured("mesc", lines(tmp_path / "a.jsonl", mesc()), triton.url)
    other = measured("mesc", lines(tmp_path / "b.jsonl", changed), triton.url)
    for task, by_mask in one["tasks"].items():
        for mask, score in by_mask.items():
            again = other["tasks"][task][mask]
            answered = [[sum(row[place] for row in figures["confusion"]) for place in range(len(figures["labels"]))]
                        for figures in (score, again)]  # fmt: skip
            assert answered[0] == answered[1]
            assert [share for share, *_ in zip(*score["reliability"], strict=True)] == [
                share for share, *_ in zip(*again["reliability"], strict=True)
            ], "as sure as before, to the last bit"
    assert set(one["models"]) == {"text_encoder", "fusion"}


def test_a_clip_is_seen_and_heard_and_each_mask_has_its_row(tmp_path: Path, triton: TritonServer, clips: Clips) -> None:
    (tmp_path / "Clip").mkdir()
    (tmp_path / "Clip" / "00001.mp4").write_bytes(clips.video)
    (tmp_path / "Clip" / "00002.mp4").write_bytes(b"\0\0\0\x18ftypmp42broken")
    for fold in range(1, 6):
        rows = [{"video_name": "1", "label": "3"}, {"video_name": "2", "label": "1"}]
        table(tmp_path / "EmoLabel_DataSplit" / "test(single-labeled)" / f"set_{fold}.csv", rows)
    found = measured("dfew", tmp_path, triton.url)
    whole = found["tasks"]["user_emotion"]
    assert list(whole) == ["full", "audio", "video", "audio+video"]
    assert (whole["full"]["n"], whole["full"]["folds"]) == (10, 5)
    assert {"audio missing: media_corrupt", "video missing: media_corrupt"} <= set(found["notes"])
    assert set(found["models"]) == {"audio_encoder", "video_encoder", "fusion"}


def test_replies_are_written_and_scored(tmp_path: Path, triton: TritonServer) -> None:
    found = measured("mesc", lines(tmp_path / "mesc.jsonl", mesc()), triton.url, replies=1)
    replies = found["replies"]
    assert (replies["n"], replies["of"]) == (1, 2)
    assert {"bleu_1", "bleu_2", "bleu_4", "rouge_l", "distinct_1", "distinct_2", "bert_score"} <= set(replies)
    assert replies["distinct_1"] > 0
    assert "responder" in found["models"]


def test_a_server_is_started_for_what_is_needed_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    started = []
    start = TritonServer.start

    def noted(server: TritonServer) -> None:
        start(server)
        started.append(server)

    monkeypatch.setattr(TritonServer, "start", noted)
    written = tmp_path / "out.json"
    file = lines(tmp_path / "mesc.jsonl", mesc())
    outcome = CliRunner().invoke(app, ["eval", "mesc", "--data", str(file), "--json", str(written)])
    assert outcome.exit_code == 0, outcome.output
    (server,) = started
    assert server.only == {"text_encoder", "fusion"}
    assert server.child.exit_code() is not None
    assert not server.log.parent.exists()
    models = json.loads(written.read_text())["models"]
    assert {name: (about["version"], len(about["sha256"])) for name, about in models.items()} == {
        "fusion": ("1", 64), "text_encoder": ("1", 64),
    }  # fmt: skip


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="text_encoder on 127"):
        measured("mesc", lines(tmp_path / "mesc.jsonl", mesc()), "127.0.0.1:9")
    assert URL_VARIABLE not in os.environ
