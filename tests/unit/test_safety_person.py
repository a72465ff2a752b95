"""A person over many messages: what is counted, what the trees say, and what the command reports."""

import csv
import json
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from multimood.cli import app
from multimood.errors import ConfigurationError
from multimood.evaluation.crisis.users import read_users
from multimood.evaluation.source import Source
from multimood.safety import Screener
from multimood.safety.person import FEATURES, Counts, Person, PersonJudge
from multimood.safety.rules import RuleSet
from multimood.safety.trees import Trees
from multimood.safety.verdict import LEVELS, rank

pytestmark = pytest.mark.unit

SCREENER, RULES, JUDGE = Screener.load(), RuleSet.load(), PersonJudge.load()
AT_RISK = (
    "I have been writing here for weeks and nothing changes. I cannot sleep and I hate myself.",
    "Last night I held the pills in my hand again. I want to die and I know how I would do it.",
    "I tried to kill myself two years ago and I wish it had worked. I do not see a reason to go on.",
    "My mother does not know. I think about ending my life every single day.",
)
SUPPORTIVE = (
    "Hey, you are not alone in this. Please call somebody you trust tonight.",
    "Your doctor should know about the side effects, you could ask her for something else.",
    "You sound exhausted. What helped you the last time?",
    "I am glad you wrote. You deserve help, and you will find people who listen to you.",
)


def heard(*messages: str) -> Person:
    person = Person()
    for message in messages:
        person.add(Counts.of(message, SCREENER.screen(message), RULES))
    return person


def numbers(person: Person) -> dict[str, float]:
    return dict(zip(FEATURES, person.numbers().tolist(), strict=True))


def test_somebody_at_risk_and_somebody_who_comforts() -> None:
    risk, support = JUDGE.judge(heard(*AT_RISK)), JUDGE.judge(heard(*SUPPORTIVE))
    assert rank(risk.level) >= rank("elevated")
    assert rank(support.level) < rank("elevated")
    assert risk.probability > support.probability + 0.3


def test_who_speaks_of_whom_is_counted() -> None:
    found = numbers(heard("I am tired. You are kind. I thank you. It rains."))
    assert found["share of sentences about oneself"] == pytest.approx(0.25)
    assert found["share of sentences to somebody"] == pytest.approx(0.25)
    assert found["share of sentences with both"] == pytest.approx(0.25)
    assert found["words"] == pytest.approx(np.log(11))
    assert found["messages"] == 0


def test_what_the_rules_found_is_counted_by_group_and_level() -> None:
    found = numbers(heard("I want to kill myself.", "I hate myself.", "It rains."))
    assert found["intent"] == pytest.approx(np.log(2))
    assert found["messages in crisis"] == pytest.approx(np.log(2))
    assert found["low messages"] == pytest.approx(np.log(2))
    assert found["share of messages in crisis"] == pytest.approx(1 / 3)


def test_a_denial_counts_as_a_low_sign_and_not_as_a_crisis() -> None:
    found = numbers(heard("I would never kill myself."))
    assert found["messages in crisis"] == 0
    assert found["low messages"] > 0
    assert found["intent"] == 0


def test_the_order_of_messages_does_not_matter() -> None:
    assert JUDGE.judge(heard(*AT_RISK)) == JUDGE.judge(heard(*reversed(AT_RISK)))


def test_nobody_is_at_risk_without_a_sign() -> None:
    assert JUDGE.judge(Person()).level == "none"
    assert JUDGE.judge(heard("It rained all day.", "I made soup.")).level == "none"


def test_a_person_whose_message_was_imminent_is_no_less() -> None:
    verdict = SCREENER.screen("I am going to kill myself tonight, I have the pills")
    assert verdict.level == "imminent"
    assert JUDGE.judge(heard(*AT_RISK, "I am going to kill myself tonight, I have the pills")).level == "imminent"


def test_every_level_of_the_rules_is_told_from_the_verdict() -> None:
    for text in (*AT_RISK, *SUPPORTIVE, 'he said "I want to kill myself"', "I would never kill myself"):
        finding = RULES.find(RULES.read(text)[0])[0]
        level, raised = RULES.escalate(finding.level, finding.groups)
        assert RULES.meaning([*finding.rules, *raised])[0] == level


def test_counting_stays_within_milliseconds_and_does_not_grow() -> None:
    person = heard(*AT_RISK * 50)
    message, begun = AT_RISK[1], time.perf_counter()
    verdict = SCREENER.screen(message)
    for _ in range(50):
        person.add(Counts.of(message, verdict, RULES))
        JUDGE.judge(person)
    assert (time.perf_counter() - begun) / 50 < 0.02
    assert len(person.levels) <= len(LEVELS)
    assert len(person.groups) < 40


def test_trees_ask_two_questions() -> None:
    trees = Trees(
        1.0,
        np.array([[0, 1, 1]]),
        np.array([[0.5, 0.5, np.inf]], np.float32),
        np.array([[10, 20, 30, 40]], np.float32),
    )
    asked = {(0, 0): 11, (0, 1): 21, (1, 0): 31, (1, 1): 31}
    assert {x: trees.score(np.array(x, np.float32)) for x in asked} == asked
    with pytest.raises(ValueError, match="leaves"):
        Trees(0.0, np.zeros((1, 3), int), np.zeros((1, 3), np.float32), np.zeros((1, 3), np.float32))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04nothing", b"words"])
def test_a_broken_file_says_what_makes_a_right_one(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "person.npz"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match="multimood train person"):
        PersonJudge.load(file)


def test_a_judge_of_other_numbers_is_refused(tmp_path: Path) -> None:
    from multimood import assets

    (tmp_path / "shipped.npz").write_bytes(assets.read("person.npz"))
    with np.load(tmp_path / "shipped.npz") as arrays:
        changed = {**arrays, "names": np.array([*FEATURES[:-1], "something else"])}
    np.savez(tmp_path / "changed.npz", **changed)
    with pytest.raises(ConfigurationError, match="other numbers"):
        PersonJudge.load(tmp_path / "changed.npz")


# --- the command ----------------------------------------------------------------------------------------------------

ROWS = (
    {"user": "a", "label": "Ideation", "risk": "2", "split": "test", "posts_json": json.dumps(AT_RISK)},
    {"user": "b", "label": "Supportive", "risk": "0", "split": "test", "posts_json": json.dumps(SUPPORTIVE)},
    {"user": "c", "label": "Attempt", "risk": "4", "split": "val", "posts_json": json.dumps(AT_RISK[:1])},
)


def table(path: Path, rows: tuple[dict[str, str], ...], *without: str) -> Path:
    kept = [{name: value for name, value in row.items() if name not in without} for row in rows]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(kept[0]))
        writer.writeheader()
        writer.writerows(kept)
    return path


def run(*words: str) -> tuple[int, str]:
    outcome = CliRunner().invoke(app, ["eval", "crisis", *words])
    return outcome.exit_code, " ".join(outcome.output.split())


def test_the_command_reports_people_and_shows_no_word(tmp_path: Path) -> None:
    written = tmp_path / "out.json"
    code, said = run("--data", str(table(tmp_path / "users.csv", ROWS)), "--json", str(written))
    assert code == 0, said
    found = json.loads(written.read_text())
    assert (found["n"], found["recall"], found["precision"], found["auc"]) == (2, 1.0, 1.0, 1.0)
    assert found["per_level"]["Ideation"] == {"n": 1, "flagged": 1.0, "flagged_any_post": 1.0}
    assert found["per_level"]["Attempt"] == {"n": 0, "flagged": None, "flagged_any_post": None}
    assert found["confusion"]["Ideation"]["none"] == found["confusion"]["Ideation"]["low"] == 0
    assert sum(found["confusion"]["Ideation"].values()) == 1
    assert sum(found["confusion"]["Supportive"].values()) == found["per_level"]["Supportive"]["n"] == 1
    assert found["majority"]["accuracy"] == 0.5
    assert found["messages"] == 8
    assert 0 < found["latency_ms"]["p50"] <= found["latency_ms"]["p99"]
    assert "the user, over all their posts" in said
    assert "pills" not in said + written.read_text()


@pytest.mark.slow
def test_a_file_of_test_rows_needs_no_split(tmp_path: Path) -> None:
    written = tmp_path / "out.json"
    code, _ = run("--data", str(table(tmp_path / "users.csv", ROWS, "split", "label")), "--json", str(written))
    assert (code, json.loads(written.read_text())["n"]) == (0, 3)
    code, _ = run("--data", str(table(tmp_path / "users.csv", ROWS, "risk")), "--split", "all", "--json", str(written))
    assert (code, json.loads(written.read_text())["n"]) == (0, 3)


def test_one_class_alone_gives_what_can_be_said(tmp_path: Path) -> None:
    written = tmp_path / "out.json"
    code, _ = run("--data", str(table(tmp_path / "users.csv", ROWS[1:2])), "--json", str(written))
    found = json.loads(written.read_text())
    assert (code, found["recall"], found["auc"], found["curve"]) == (0, None, None, [])


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"posts_json": " nan"}, "no usable row"),
        ({"posts_json": "[1, null]"}, "no usable row"),
        ({"posts_json": "[]"}, "no usable row"),
        ({"risk": "9"}, "no usable row"),
        ({"split": "train"}, "no rows of split 'test': it has train (1)"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, change: dict[str, str], remedy: str) -> None:
    code, said = run("--data", str(table(tmp_path / "users.csv", ({**ROWS[0], **change},))))
    assert code == 1
    assert remedy in said


def test_a_missing_file_and_a_missing_column(tmp_path: Path) -> None:
    assert run("--data", str(tmp_path / "none.csv"))[0] == 1
    code, said = run("--data", str(table(tmp_path / "users.csv", ROWS, "posts_json")))
    assert code == 1
    assert "no column posts_json" in said
    assert "no column posts_json or Post" in said


OTHERS = ['It isn\'t "easy", is it?', "line one\nline two, and ['brackets']", "déjà vu"]


@pytest.mark.parametrize(
    ("cell", "posts"),
    [
        (repr(OTHERS), OTHERS),
        (json.dumps(OTHERS), OTHERS),
        (repr(tuple(OTHERS)), OTHERS),
        (f" {OTHERS!r}\r\n", OTHERS),
        ("['one', 'I can't go on', 'three']", ["one", "I can't go on", "three"]),
        ("['one', 'two is cut o", ["one", "two is cut o"]),
        ("[one without quotes, all the same]", ["one without quotes, all the same"]),
        ("one post, no list", ["one post, no list"]),
        ("['', ' ', 'one', None, 3]", ["one"]),
        ("[" * 5_000, ["[" * 4_999]),
    ],
)
def test_posts_are_read_as_files_have_them(tmp_path: Path, cell: str, posts: list[str]) -> None:
    rows = ({"User": "user-0", "Post": cell, "Label": "Attempt"},)
    (user,) = read_users(Source(table(tmp_path / "users.csv", rows)))
    assert (user.risk, list(user.posts)) == (4, posts)


def test_the_corpus_as_it_is_published(tmp_path: Path) -> None:
    labels = ("Supportive", "Indicator", "Suicidal Ideation", "behaviour", "ATTEMPT", "Unsure")
    rows = tuple(
        {"User": f"user-{at}", "Post": repr(AT_RISK if at > 1 else SUPPORTIVE), "Label": label}
        for at, label in enumerate(labels)
    )
    path, written = table(tmp_path / "500_Reddit_users_posts_labels.csv", rows), tmp_path / "out.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    code, said = run("--data", str(tmp_path), "--json", str(written))
    assert code == 0, said
    found = json.loads(written.read_text())
    assert [level["n"] for level in found["per_level"].values()] == [1] * 5
    assert found["notes"] == {"rows without a label of the scale, left out": 1}
    assert "pills" not in said + written.read_text()


def test_a_column_under_two_names_is_taken_by_its_own(tmp_path: Path) -> None:
    rows = ({"Post": "['theirs']", "posts_json": json.dumps(["ours"]), "risk": "2.0"},)
    assert [user.posts for user in read_users(Source(table(tmp_path / "users.csv", rows)))] == [("ours",)]


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        (b"", "no column posts_json or Post"),
        (b"User,Post,Label\n", "no usable row"),
        ("User,Post,Label\nu,caf\u00e9,Attempt\n".encode("cp1252"), "save it as CSV with commas, in UTF-8"),
        (b"User;Post;Label\nu;a;Attempt\n", "no column posts_json or Post"),
        (b"PK\x03\x04\x00\x00\xff", "UTF-8"),
    ],
)
def test_a_file_that_is_none_says_so(tmp_path: Path, content: bytes, remedy: str) -> None:
    (tmp_path / "users.csv").write_bytes(content)
    code, said = run("--data", str(tmp_path / "users.csv"))
    assert (code, remedy in said) == (1, True), said
