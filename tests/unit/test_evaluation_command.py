"""The commands: what they say, what they write, and how they fail."""

import json
import re
from pathlib import Path

import pytest
from evaluation_world import Formula, Letters, esconv, lines, mesc, table
from typer.testing import CliRunner

from multimood.cli import app
from multimood.evaluation import encode, run
from multimood.evaluation.corpora import corpora
from multimood.evaluation.source import Source
from multimood.local.places import checkout

pytestmark = pytest.mark.unit

runner = CliRunner()
TEXTS = ("boat", "oars", "goat", "harbour")


@pytest.fixture(autouse=True)
def formulas(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server is started."""
    from contextlib import nullcontext

    monkeypatch.setattr(encode, "TextTokenizer", Letters)
    monkeypatch.setattr(run, "Served", lambda address, *, is_ours: Formula())
    monkeypatch.setattr(run, "server", lambda url, needed: nullcontext(("nowhere", True)))


def measured(*words: str) -> tuple[int, str]:
    outcome = runner.invoke(app, ["eval", *words])
    return outcome.exit_code, " ".join(outcome.output.split())


def test_every_corpus_has_a_command_that_teaches() -> None:
    _, listed = measured("--help")
    for name, corpus in corpora().items():
        assert name in listed
        code, said = measured(name, "--help")
        assert code == 0
        assert corpus.takes.split(",")[0].split()[0] in said
        for option in ("--data", "--split", "--json", "--picture", "--triton", "--replies"):
            assert option in said


@pytest.mark.slow
def test_a_table_json_and_a_picture_without_a_word_that_was_said(tmp_path: Path) -> None:
    written, picture = tmp_path / "out.json", tmp_path / "out.png"
    file = lines(tmp_path / "mesc.jsonl", mesc())
    code, said = measured("mesc", "--data", str(file), "--json", str(written), "--picture", str(picture))
    assert code == 0, said
    found = json.loads(written.read_text())
    assert (found["corpus"], found["split"], len(found["data_sha256"])) == ("mesc", "test", 64)
    assert set(found["tasks"]) == {
        f"{task}{suffix}" for task in ("user_emotion", "strategy", "system_emotion") for suffix in ("", "_utterance")
    }
    for by_mask in found["tasks"].values():
        assert list(by_mask) == ["full", "none"]
        for score in by_mask.values():
            four = {"accuracy", "weighted_f1", "macro_f1", "uar"}
            assert four | {"n", "interval", "majority", "ece", "confusion", "labels"} <= set(score)
            assert set(score["majority"]) == four
            assert score["interval"][0] <= score["interval"][1]
    assert found["tasks"]["user_emotion"]["full"]["n"] == 2
    assert found["tasks"]["strategy_utterance"]["full"]["n"] == 4
    assert "preference_bias" in found["tasks"]["strategy"]["full"]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert not [word for word in TEXTS if word in (said + written.read_text()).lower()]


def test_numbers_stand_apart_from_labels(tmp_path: Path) -> None:
    written = tmp_path / "out.json"
    code, said = measured("esconv", "--data", str(lines(tmp_path / "e.jsonl", [esconv()])), "--json", str(written))
    assert code == 0, said
    found = json.loads(written.read_text())
    assert list(found["tasks"]) == ["strategy"]
    assert found["ratings"]["intensity"]["full"]["n"] == 1
    assert found["ratings"]["intensity"]["full"]["mean"]["value"] == 0.75


def test_sessions_are_judged_as_wholes_and_by_utterance(tmp_path: Path) -> None:
    rows = [
        {"transcript_id": str(n), "mi_quality": quality, "interlocutor": who, "utterance_text": f"{who} {n}: the goat."}
        for n, quality in enumerate(("high", "high", "low"))
        for who in ("therapist", "client", "therapist")
    ]
    written = tmp_path / "out.json"
    code, said = measured("annomi", "--data", str(table(tmp_path / "annomi.csv", rows)), "--json", str(written))
    assert code == 0, said
    assert "quality, full: area under the ROC curve" in said
    found = json.loads(written.read_text())
    assert {name: masks["full"]["n"] for name, masks in found["tasks"].items()} == {
        "quality": 3,
        "quality_utterance": 6,
    }
    assert found["tasks"]["quality"]["full"]["majority"]["accuracy"] == pytest.approx(2 / 3)
    assert 0 <= found["tasks"]["quality"]["full"]["auc"] <= 1
    assert "quality" in found["models"]
    assert "goat" not in said + written.read_text()


def test_empathy_is_epitome_by_another_name(tmp_path: Path) -> None:
    row = {"sp_id": "p", "seeker_post": "The goat.", "response_post": "The oars.", "er": "0", "ip": "1", "ex": "2"}
    file, answers = str(table(tmp_path / "mine.csv", [row, row | {"er": "1"}])), []
    for name in ("empathy", "epitome"):
        written = tmp_path / f"{name}.json"
        code, said = measured(name, "--data", file, "--json", str(written))
        assert code == 0, said
        answers.append(json.loads(written.read_text()) | {"seconds": 0})
    assert answers[0] == answers[1]
    assert set(answers[0]["tasks"]) == {
        f"empathy_{name}" for name in ("emotional_reactions", "interpretations", "explorations")
    }


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["mesc", "--data", "/nowhere"], "error: --data /nowhere is not there: give the corpus' file"),
        (["mesc", "--split", "dev"], "has no rows of split 'dev': it has test (2); or `all`"),
        (["meld"], "has no column dialogue_id, text, label"),
        (["mesc", "--json", "/nowhere/x.json"], "error: /nowhere/x.json cannot be written"),
        (["mesc", "--picture", "x.unheard"], "use a name that ends with .png"),
    ],
)
def test_errors_say_what_to_do(tmp_path: Path, words: list[str], complaint: str) -> None:
    file = lines(tmp_path / "mesc.jsonl", mesc())
    code, said = measured(*words, *([] if "--data" in words else ["--data", str(file)]))
    assert code == 1
    assert complaint in said
    assert "Traceback" not in said


def test_replies_where_there_are_none_to_compare_with(tmp_path: Path) -> None:
    row = {"dialogue_id": "1", "text": "Hm.", "label": "joy"}
    code, said = measured("meld", "--data", str(table(tmp_path / "meld.csv", [row])), "--replies", "3")
    assert code == 1
    assert "meld has no replies to compare with" in said


def test_a_file_without_any_label(tmp_path: Path) -> None:
    code, said = measured("rows", "--data", str(lines(tmp_path / "rows.jsonl", [{"text": "goat"}])))
    assert code == 1
    assert "nothing in split 'test' has a label of rows" in said


def test_what_is_needed_is_started_and_no_more(tmp_path: Path) -> None:
    parts = corpora()["mesc"].read(Source(lines(tmp_path / "mesc.jsonl", mesc())))
    assert run.needed(parts, 0) == {"text_encoder", "fusion"}
    assert run.needed(parts, 2) == {"text_encoder", "fusion", "responder"}


def test_the_documented_corpus_works(tmp_path: Path) -> None:
    code = re.search(r"```python\n(.+?)```", (checkout() / "docs" / "evaluation.md").read_text(), re.DOTALL)
    assert code is not None
    namespace: dict = {}
    exec(compile(code[1], "diary.py", "exec"), namespace)
    rows = [{"writer": "w", "entry": "The goat is back.", "felt": "glad"}, {"writer": "w", "entry": "Oh.", "felt": "?"}]
    source = Source(table(tmp_path / "diary.csv", rows))
    (part,) = namespace["CORPUS"].read(source)
    assert [one.rows[0].truth for one in part.dialogues] == [{"user_emotion": "joy"}, {}]
    assert source.notes == {"feelings without a counterpart, not scored": 1}
