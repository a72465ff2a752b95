"""Exports of the log, without the libraries that read them (those: tests/integration/test_experience_exports.py)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from experience_log import OPENERS, made_rows
from typer.testing import CliRunner

from multimood.cli import app
from multimood.errors import ConfigurationError
from multimood.experience import SCHEMA, Folder, rows
from multimood.experience.exports import NothingToExportError, Wishes, export
from multimood.experience.exports.minari import episodes
from multimood.experience.exports.obp import load_bandit_feedback
from multimood.experience.exports.transitions import transitions
from multimood.experience.exports.wishes import Exported, Rows
from multimood.experience.schema import CONTENT, SEALED, Row
from multimood.experience.table import encode
from multimood.perception.state import names_of
from multimood.taxonomy import MESC_STRATEGIES

pytestmark = pytest.mark.unit

ROWS = made_rows(6, 3)
LATER = {"rating": None, "next_intensity": None}


def of(found: list[Row]) -> Rows:
    return lambda: iter([LATER | row for row in found])


def table(out: Path) -> list[dict[str, Any]]:
    return [row for file in sorted(out.glob("data/*.parquet")) for row in pq.read_table(file).to_pylist()]


def test_examples_are_labelled_by_the_threshold(tmp_path: Path) -> None:
    vetted = ROWS[0] | {"reply_source": "vetted_fallback"}
    unscored = ROWS[1] | {"reward": None}
    done = export(of([vetted, unscored, *ROWS[2:]]), "trl-kto", tmp_path / "out", Wishes(threshold=0.5))
    assert done.as_json() == {
        "rows": 18, "items": 16, "left_out": {"no reward": 1, "not written by a model": 1}
    }  # fmt: skip
    found = table(tmp_path / "out")
    assert [one["label"] for one in found] == [row["reward"] >= 0.5 for row in ROWS[2:]]
    first = found[0]
    assert first["prompt"][-1] == {"role": "user", "content": ROWS[2]["dialogue"][-1]["text"]}
    assert [one["role"] for one in first["prompt"]] == ["user", "assistant", "user", "assistant", "user"]
    assert first["completion"] == [{"role": "assistant", "content": ROWS[2]["reply_text"]}]


def test_pairs_answer_the_same_dialogue(tmp_path: Path) -> None:
    done = export(of(ROWS), "trl-dpo", tmp_path / "out", Wishes(min_gap=0.0))
    found = table(tmp_path / "out")
    assert done.items == len(found) == 2, "one for each opener: what follows differs"
    openings = {
        text: [row for row in ROWS if row["step"] == 0 and row["dialogue"][0]["text"] == text] for text in OPENERS
    }
    for pair in found:
        same = openings[pair["prompt"][0]["content"]]
        best, worst = (pick(same, key=lambda row: row["reward"]) for pick in (max, min))
        assert pair["chosen"][0]["content"] == best["reply_text"]
        assert pair["rejected"][0]["content"] == worst["reply_text"]
        assert pair["score_chosen"] - pair["score_rejected"] == pytest.approx(best["reward"] - worst["reward"])


def attempted(*others: tuple[dict[str, Any], str], score: float | None = 0.9, **changes: Any) -> Row:
    """A row whose reply was the last of several attempts."""
    base = {"index": 0, "faults": [], "score": None, "sent": False, "completion_tokens": 3}
    made = [base | {"index": index} | more for index, (more, _) in enumerate(others)]
    sent = base | {"index": len(made), "score": score, "sent": True}
    texts = [{"index": index, "text": text} for index, (_, text) in enumerate(others)]
    return ROWS[0] | {"reply_attempts": [*made, sent], "attempt_texts": texts} | changes


def test_attempts_at_one_reply_are_pairs_with_where_they_come_from(tmp_path: Path) -> None:
    row = attempted(
        ({"score": 0.85}, "nearly as good"),
        ({"faults": ["encourages_harm", "a.rule"]}, "what the guard stop"),
        ({"score": 0.2}, "worse"),
        ({}, "nobody scored it"),
        ({"score": 0.1}, ROWS[0]["reply_text"]),
    )
    done = export(of([row]), "trl-dpo", tmp_path / "out", Wishes(min_gap=0.1))
    assert done.as_json()["sources"] == {"attempts": 1, "refused": 1}
    refused, worse = table(tmp_path / "out")
    assert all(pair["chosen"] == [{"role": "assistant", "content": row["reply_text"]}] for pair in (refused, worse))
    assert refused["rejected"] == [{"role": "assistant", "content": "what the guard stop"}]
    assert (refused["source"], refused["score_rejected"]) == ("refused", None)
    assert refused["faults_rejected"] == ["encourages_harm", "a.rule"]
    assert (worse["source"], worse["score_chosen"], worse["score_rejected"]) == ("attempts", 0.9, 0.2)
    assert (worse["attempt_chosen"], worse["attempt_rejected"]) == (5, 2)
    assert worse["row_id_chosen"] == worse["row_id_rejected"] == row["row_id"]
    export(of([row]), "trl-dpo", tmp_path / "one", Wishes(pairs=("attempts",)))
    assert [pair["source"] for pair in table(tmp_path / "one")] == ["attempts"]


@pytest.mark.parametrize(
    "changes",
    [
        {"reply_source": "vetted_fallback"}, {"crisis_gate_failed": True}, {"dialogue": None},
        {"reply_text": None, "attempt_texts": None},
        {"reply_attempts": [{"index": 1, "faults": ["late"], "score": 0.9, "sent": True, "completion_tokens": 3}]},
    ],
)  # fmt: skip
def test_what_was_refused_is_never_the_chosen_one(tmp_path: Path, changes: dict[str, Any]) -> None:
    row = attempted(({"faults": ["encourages_harm"]}, "refused"), ({"score": 0.1}, "worse")) | changes
    with pytest.raises(NothingToExportError):
        export(of([row]), "trl-dpo", tmp_path / "out", Wishes(min_gap=0.0))


def test_a_reply_that_broke_the_crisis_rule_is_never_preferred(tmp_path: Path) -> None:
    """Not even where the person rated it higher."""
    same = [row | {"rating": rating} for row, rating in zip(ROWS[0:12:6], (1.0, 0.2), strict=True)]
    assert same[0]["dialogue"][0]["text"] == same[1]["dialogue"][0]["text"]
    broken = [same[0] | {"crisis_gate_failed": True}, same[1]]
    wishes = Wishes(target="rating")
    (pair,) = (export(of_rated(same), "trl-dpo", tmp_path / "before", wishes), *table(tmp_path / "before"))[1:]
    assert pair["chosen"][0]["content"] == same[0]["reply_text"]
    with pytest.raises(NothingToExportError):
        export(of_rated(broken), "trl-dpo", tmp_path / "after", wishes)
    export(of_rated(broken), "trl-kto", tmp_path / "kto", wishes)
    assert [one["label"] for one in table(tmp_path / "kto")] == [False, False]


def of_rated(found: list[Row]) -> Rows:
    return lambda: iter([{"next_intensity": None} | row for row in found])


def test_without_pairs_there_is_an_error_and_no_folder(tmp_path: Path) -> None:
    with pytest.raises(NothingToExportError, match="Lower --min-gap, or take trl-kto"):
        export(of(ROWS), "trl-dpo", tmp_path / "out", Wishes(min_gap=2.0))
    same = [row | {"reply_text": "The same."} for row in ROWS]
    with pytest.raises(NothingToExportError, match=r"the same reply, scored in two ways \(2\)"):
        export(of(same[0:1] + same[6:7]), "trl-dpo", tmp_path / "out", Wishes(min_gap=0.0))
    assert list(tmp_path.iterdir()) == []


def test_bandit_feedback_has_the_log_s_own_propensities(tmp_path: Path) -> None:
    unfit = ROWS[0] | {"fit_for_ope": False, "unfit_reason": "override"}
    done = export(of([unfit, *ROWS[1:]]), "obp", tmp_path / "out")
    assert done.left_out == {"unfit: override": 1}
    found = load_bandit_feedback(tmp_path / "out")
    assert (found["n_rounds"], found["n_actions"], found["position"]) == (17, 10, None)
    assert found["context"].shape == (17, len(names_of("state-1:mesc")))
    assert found["pscore"].tolist() == [row["propensity"] for row in ROWS[1:]]
    assert [MESC_STRATEGIES[action] for action in found["action"]] == [row["chosen"] for row in ROWS[1:]]
    assert np.allclose(found["behaviour"].sum(axis=1), 1)
    assert found["behaviour"][:, MESC_STRATEGIES.index("others")].tolist() == [0.0] * 17, "never eligible"
    assert found["reward"].tolist() == [row["reward"] for row in ROWS[1:]]


def test_episodes_are_unbroken_runs() -> None:
    broken = [row for row in ROWS if not (row["step"] == 1 and row["conversation_id"] == ROWS[0]["conversation_id"])]
    found = list(episodes(transitions(of(list(reversed(broken))), Wishes(), Exported())))
    by_length = sorted((len(one["rewards"]), one["terminations"][-1], one["truncations"][-1]) for one in found)
    assert by_length == [(1, False, True), (1, True, False), *[(3, True, False)] * 5]
    whole = next(one for one in found if len(one["rewards"]) == 3)
    assert whole["observations"].shape == (4, len(names_of("state-1:mesc")))
    steps = whole["observations"][:, names_of("state-1:mesc").index("step")]
    assert steps.tolist() == [0.0, 1.0, 2.0, 2.0]


def test_another_reward_can_be_taken(tmp_path: Path) -> None:
    relieved = [row | {"rating": 1.0, "next_intensity": row["intensity"] - 0.25} for row in ROWS]
    for target, expected in (("rating", 1.0), ("relief", 0.25)):
        export(lambda: iter(relieved), "obp", tmp_path / target, Wishes(target=target))  # type: ignore[arg-type]
        assert load_bandit_feedback(tmp_path / target)["reward"].tolist() == pytest.approx([expected] * 18)
    with pytest.raises(NothingToExportError, match="18: no rating"):
        export(of(ROWS), "obp", tmp_path / "none", Wishes(target="rating"))


def test_two_lists_of_features_are_no_table(tmp_path: Path) -> None:
    other = ROWS[0] | {"state_version": "state-1:esconv", "state": [0.0] * len(names_of("state-1:esconv")),
                       "chosen": "question", "strategy": [{"label": "question", "p": 1.0}]}  # fmt: skip
    with pytest.raises(NothingToExportError, match="state-1:esconv and state-1:mesc"):
        export(of([other, *ROWS[1:]]), "obp", tmp_path / "out")


def test_the_dataset_has_what_was_said_only_when_asked(tmp_path: Path) -> None:
    said = [row | {"feedback": [], "feedback_status": "pending"} for row in ROWS]
    export(of(said), "hf", tmp_path / "plain")
    export(of(said), "hf", tmp_path / "said", Wishes(content=True))
    plain, whole = table(tmp_path / "plain"), table(tmp_path / "said")
    assert set(SCHEMA.names) - set(plain[0]) == {*CONTENT, *SEALED}
    assert whole[0]["reply_text"] == ROWS[0]["reply_text"]
    assert len(plain) == len(whole) == 18
    assert "reply_text" not in (tmp_path / "plain" / "README.md").read_text()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="new or empty"):
        export(of(ROWS), "hf", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["experience", *arguments])


def test_the_commands_on_a_folder(tmp_path: Path) -> None:
    place = tmp_path / "log" / "experience/v2/date=2026-09-21/reply-0-0.parquet"
    place.parent.mkdir(parents=True)
    place.write_bytes(encode(ROWS, SCHEMA))
    log = str(tmp_path / "log")
    (day,) = (json.loads(line) for line in run("ls", log, "--json").stdout.splitlines())
    assert (day["rows"], day["conversations"], day["fit_for_ope"]) == (18, 6, 18)
    assert run("ls", "--folder", log, "--json").stdout == run("ls", log, "--json").stdout
    done = run("export", log, "--to", "trl-kto", "--out", str(tmp_path / "kto"), "--json")
    assert (done.exit_code, json.loads(done.stdout)["items"]) == (0, 18)
    refused = run("export", log, "--to", "trl-kto", "--out", str(tmp_path / "kto"))
    assert (refused.exit_code, "new or empty" in refused.output) == (1, True)
    assert run("export", log, "--to", "csv", "--out", str(tmp_path / "csv")).exit_code == 2
    compacted = run("compact", log, "--after-days", "1", "--json")
    assert compacted.exit_code == 0
    assert len(list(rows(Folder(tmp_path / "log")))) == 18
    shown = run("show", ROWS[3]["row_id"], "--folder", log, "--json")
    assert json.loads(shown.stdout)["row_id"] == ROWS[3]["row_id"]
    assert "reply_text" not in shown.stdout
