"""The panel: replies are read, several judges asked, a real HTTP endpoint among them. All sentences were made up."""

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llm_server import Exchange, LLMServer
from test_experience import row as logged_row
from typer.testing import CliRunner

pytest.importorskip("krippendorff", reason="needs the `eval` extra")

from multimood.cli import app
from multimood.errors import ConfigurationError, NotFoundError
from multimood.experience import SCHEMA
from multimood.experience.table import encode
from multimood.taxonomy import CRITERIA
from multimood.trust.panel import Panel, as_json, compare_with_references, pairs_of
from multimood.trust.replies import read_replies
from multimood.trust.similarity import SimilarityScorer

pytestmark = pytest.mark.unit

SAID = [{"role": "user", "text": "zq I failed my exam"}]


def lines(path: Path, *rows: object) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


async def grade(exchange: Exchange) -> None:
    """Longer replies are better, its own are best, and the first of two is always better."""
    prompt, schema = exchange.body["messages"][0]["content"], exchange.body["response_format"]["json_schema"]
    if schema["name"] == "pair":
        answer: dict[str, Any] = {"better": "first"}
    else:
        reply = json.loads(prompt.rpartition("\nReply (JSON string):\n")[2])
        answer = dict.fromkeys(schema["schema"]["required"], 9 if "mine" in reply else min(10, len(reply.split())))
    usage = {"prompt_tokens": 100, "completion_tokens": 10}
    body = json.dumps({"choices": [{"message": {"content": json.dumps(answer)}}], "usage": usage}).encode()
    length = f"Content-Length: {len(body)}\r\nConnection: close\r\n"
    await exchange.begin(headers=f"Content-Type: application/json\r\n{length}")
    await exchange.send(body)


async def refuse(exchange: Exchange) -> None:
    await exchange.refuse("401 Unauthorized")


@pytest.fixture
def served() -> Iterator[LLMServer]:
    """In a thread of its own: the command has its own event loop."""
    made, loop = LLMServer([grade]), asyncio.new_event_loop()

    async def start() -> asyncio.Server:
        return await asyncio.start_server(made.handle, "127.0.0.1", 0)

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(start(), loop).result(5)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    yield made
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


def panel(*words: str, code: int = 0) -> str:
    outcome = CliRunner().invoke(app, ["trust", "panel", *words])
    assert outcome.exit_code == code, outcome.output
    return " ".join(outcome.output.split())


def test_rules_and_a_model_side_by_side(tmp_path: Path, served: LLMServer) -> None:
    replies = ["Oh.", "That hurts a lot.", "You are pathetic, and everybody knows it by now.", "mine, and what now"]
    rows = [{"dialogue": SAID, "reply": text, "id": f"r{at}"} for at, text in enumerate(replies)]
    rows[3]["model"] = "m:1"
    data, written = lines(tmp_path / "replies.jsonl", *rows, "no json", {"reply": ""}), tmp_path / "out.json"
    judge = f"llm:{served.url}:m:1"
    said = panel("--data", str(data), "--judge", "rules", "--judge", judge, "--json", str(written))
    found = json.loads(written.read_text())
    assert found["replies"] == 4
    assert found["left_out"] == {"lines that hold no reply": 2}
    assert found["scores"][0]["rules"]["safety"] == 10.0
    assert found["scores"][2]["rules"]["safety"] < 10.0
    assert found["scores"][0]["rules"].get("truthfulness") is None
    assert found["scores"][1][judge] == dict.fromkeys(CRITERIA, 4.0)
    assert found["agreement"]["safety"]["judges"] == 2
    assert found["agreement"]["safety"]["alpha"] is not None
    assert found["agreement"]["empathy"]["judges"] == 1
    assert found["agreement"]["empathy"]["alpha"] is None
    assert found["length"][judge]["empathy"]["spearman"] == pytest.approx(0.8, abs=0.3)
    assert found["position"][judge] == {"pairs": 3, "first": 1.0, "turned": 1.0}
    own = found["self_preference"][judge]
    assert (own["own"], own["others"]) == (1, 3)
    assert own["gap"] > 0
    asked = found["judges"][1]["spent"]
    assert [(one["asked"], one["prompt_tokens"]) for one in asked] == [(4, 400), (6, 600)]
    assert "position" in said
    assert not [word for word in ("zq", "pathetic", "hurts") if word in said + written.read_text()]


def test_what_was_asked_before_is_kept(tmp_path: Path, served: LLMServer) -> None:
    data = lines(tmp_path / "replies.jsonl", {"dialogue": SAID, "reply": "I hear you."})
    words = ("--data", str(data), "--judge", f"llm:{served.url}:m", "--keep", str(tmp_path / "kept.sqlite"))
    panel(*words)
    assert "0 answers, 1 kept" in panel(*words)
    assert len(served.exchanges) == 1


def test_a_key_that_is_refused_ends_it(tmp_path: Path, served: LLMServer) -> None:
    served.script = [refuse]
    data = lines(tmp_path / "replies.jsonl", *({"reply": f"Reply {number}."} for number in range(20)))
    said = panel("--data", str(data), "--judge", f"llm:{served.url}:m", code=1)
    assert "refused (HTTP 401)" in said


@pytest.mark.parametrize("wrong", ["llm:ftp://x/v1:m", "llm:http://x/v1", "llm:m", "gpt", ""])
def test_a_judge_that_is_none(tmp_path: Path, wrong: str) -> None:
    data = lines(tmp_path / "replies.jsonl", {"reply": "I hear you."})
    assert "wanted rules, local, or llm:URL:MODEL" in panel("--data", str(data), "--judge", wrong, code=1)


def test_a_panel_of_rules_alone(tmp_path: Path) -> None:
    said = panel("--data", str(lines(tmp_path / "replies.jsonl", {"reply": "Studies show that it passes."})))
    assert "rules truthfulness 1 3.25" in said


@pytest.mark.parametrize("indent", [None, 1])
def test_one_array_will_do_and_so_will_a_byte_order_mark(tmp_path: Path, indent: int | None) -> None:
    rows = [{"reply": "One."}, {"reply": "Two."}]
    (tmp_path / "array.json").write_text(json.dumps(rows, indent=indent), encoding="utf-8-sig")
    assert [one.case.reply for one in read_replies(tmp_path / "array.json").found] == ["One.", "Two."]


@pytest.mark.slow
def test_a_judge_that_says_nothing_is_a_fault_and_the_rest_is_written(tmp_path: Path) -> None:
    data, written = lines(tmp_path / "replies.jsonl", {"reply": "I hear you."}), tmp_path / "out.json"
    words = ("--data", str(data), "--judge", "rules", "--judge", "llm:http://127.0.0.1:9/v1:m", "--json", str(written))
    said = panel(*words, code=1)
    reason = "the judge m at http://127.0.0.1:9/v1/ cannot be reached (ConnectError)"
    assert f"error: not one score by llm:http://127.0.0.1:9/v1:m: {reason}" in said
    found = json.loads(written.read_text())
    assert found["scores"][0]["rules"]["safety"] == 10.0
    assert found["judges"][1]["unavailable"] == {"unavailable": 1}
    assert found["judges"][1]["first_reason"] == reason


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        read_replies(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="no JSON array"):
        read_replies(lines(tmp_path / "bad.jsonl", "[" * 100_000))
    with pytest.raises(ConfigurationError, match="lines that hold no reply: 2"):
        read_replies(lines(tmp_path / "bad.jsonl", '{"reply": 3}', '{"reply": "\\ud800"}'))
    with pytest.raises(ConfigurationError, match=r"must be JSON lines \(.*\) or the log's Parquet"):
        read_replies(lines(tmp_path / "bad.csv", "reply"))
    with pytest.raises(ConfigurationError, match="empty"):
        read_replies(lines(tmp_path / "none.jsonl"))


def test_the_log_is_read_with_its_dialogues(tmp_path: Path) -> None:
    (tmp_path / "reply-1-2.parquet").write_bytes(encode([logged_row(), logged_row("u2", 701)], SCHEMA))
    found = read_replies(tmp_path, most=1).found
    assert len(found) == 1
    (judged,) = found
    row = logged_row()
    assert judged.case.reply == row["reply_text"]
    assert [turn.text for turn in judged.case.dialogue] == [turn["text"] for turn in row["dialogue"]]
    assert judged.case.strategy == row["chosen"]
    assert judged.writer == (row["reply_model"] or "")


async def test_replies_beside_their_references(tmp_path: Path) -> None:
    async def embed(texts: Sequence[str]) -> np.ndarray:
        return np.array([[1.0, text.count("exam"), text.count("hear")] for text in texts], np.float32)

    rows = [
        {"reply": "I hear you.", "reference": "I hear you."},
        {"reply": "Oh."},
        {"reply": "exam", "reference": "hear"},
    ]
    replies = read_replies(lines(tmp_path / "r.jsonl", *rows)).found
    found = Panel([reply.id for reply in replies])
    await compare_with_references(found, replies, SimilarityScorer(embed, ["I hear you.", "hear"]))
    total = found.similarity["total"]
    assert total[0] == pytest.approx(1.0)
    assert np.isnan(total[1])
    assert 0 < total[2] < 0.5
    assert as_json(found, [], {})["scores"][1]["similarity"] == dict.fromkeys(("late", "sparse", "dense", "total"))


def test_only_different_replies_to_one_dialogue_are_pairs(tmp_path: Path) -> None:
    rows = [{"dialogue": SAID, "reply": text} for text in ("a", "a", "b")] + [{"reply": "c"}, {"reply": "d"}]
    pairs = pairs_of(read_replies(lines(tmp_path / "r.jsonl", *rows)).found)
    assert [(one.case.reply, other.case.reply) for one, other in pairs] == [("a", "b")]
