"""docs/results.md from files: which figures give which line, and what is said of files that are not whole."""

import json
from contextlib import nullcontext
from pathlib import Path

import pytest
from evaluation_world import Formula, Letters, lines, mesc, table
from typer.testing import CliRunner

from multimood.cli import app
from multimood.errors import ConfigurationError, NotFoundError
from multimood.evaluation import encode, run
from multimood.evaluation.results import Links, Shipped, page, read, take
from multimood.evaluation.results.forms import Goal, Measured
from multimood.evaluation.results.goals import judge
from multimood.models import Model

pytestmark = pytest.mark.unit

SHIPPED = Shipped([Model("fusion", "feelings", "scratch", "ours", "cards/fusion.md", {"f.onnx": "f" * 64})])
LOW = {"accuracy": 0.4, "weighted_f1": 0.2, "macro_f1": 0.1, "uar": 0.25}
GOAL = {"about": "Feelings", "corpus": "diary", "task": "user_emotion", "metric": "uar"}


def score(value: float, **more: object) -> dict:
    own = dict.fromkeys(LOW, value)
    interval = [value - 0.05, value + 0.05]
    return {**own, "n": 40, "interval": interval, "intervals": dict.fromkeys(LOW, interval), "majority": LOW,
            "ece": 0.031, "labels": ["a", "b"], "confusion": [[1, 0], [0, 1]], **more}  # fmt: skip


def measured(**changes: object) -> dict:
    masks = {"full": score(0.7), "audio": score(0.6), "video": score(0.5), "audio+video": score(0.7)}
    return {
        "corpus": "diary", "split": "val", "data_sha256": "d" * 64, "note": "", "tasks": {"user_emotion": masks},
        "ratings": {}, "replies": {}, "notes": {}, "models": {"fusion": {"version": "1", "sha256": "f" * 64}},
        "seconds": 1.0, **changes,
    }  # fmt: skip


def timed(sha256: str = "f" * 64) -> dict:
    batch = {"batch": 8, "requests": 2, "rows": 4, "repeats": 20, "p50_ms": 1234.56, "p95_ms": 1300.0, "per_s": 6.5,
             "peak_mb": 99.6}  # fmt: skip
    machine = {"cores": 2, "cpu": "Abacus", "memory_gib": 3, "load_before": 0.5, "date": "2026-11-26", "kernel": "6"}
    model = {"model": "fusion", "sha256": sha256, "max_batch_size": 4, "rows_each": 1, "inputs": {"mel": [80, 300]},
             "before_mb": 30.2, "loaded_mb": 80.0, "batches": [batch]}  # fmt: skip
    return {"machine": machine, "models": [model], "goals": []}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with one of everything."""
    folder = tmp_path / "runs"
    (folder / "eval").mkdir(parents=True)
    (folder / "eval" / "diary.json").write_text(json.dumps(measured()))
    (folder / "models.json").write_text(json.dumps(timed()))
    trained(folder / "fusion")
    (folder / "goals.toml").write_text(
        '[[goal]]\nabout = "Feelings"\ncorpus = "diary"\ntask = "user_emotion"\nmetric = "uar"\nabove = 65\n'
        'published = [{ who = "Theirs", value = "60.0", source = "a paper" }]\n'
    )
    (folder / "tried.toml").write_text(
        '[[tried]]\npart = "audio"\nwhat = "twice as deep"\nfigure = "61.0"\nbeside = "70.0"\nwhy = "slow | worse"\n'
    )
    return folder


def trained(folder: Path) -> None:
    folder.mkdir(parents=True)
    metrics = {"share": 0.987654, "validation, diary": {"n": 40, "accuracy": 0.7}, "curve": list(range(99))}
    environment = {"python": "3.11.7", "packages": {"numpy": "2.2"}, "processors": 2, "seconds": 90.0}
    for name, value in (("config", {"rate": 0.0005, "seed": 0}), ("environment", environment), ("metrics", metrics)):
        (folder / f"{name}.json").write_text(json.dumps(value))


def written(runs: Path) -> list[str]:
    return page(read(runs), SHIPPED, ["diary", "songs"], Links()).splitlines()


def test_the_page_says_what_the_files_say(runs: Path) -> None:
    lines = written(runs)
    for line in (
        "| Feelings | UAR | val, 40 | 25.0 | 70.0 (65.0..75.0) | > 65 | met | Theirs 60.0 (a paper) |",
        "### diary, part `val`",
        "| `user_emotion` | audio | 40 |" + 4 * " 60.0 (55.0..65.0) |" + " 40.0 | 20.0 | 10.0 | 25.0 | 3.1 |",
        "- Answered by fusion `ffffffffffff`; data `dddddddddddd`.",
        "Not measured yet: `songs`.",
        "| fusion | feelings | scratch | ours | [card](../cards/fusion.md) |",
        "### Training: fusion",
        "Asked for: rate 0.0005, seed 0. Took 1.5 min on 2 processors; Python 3.11.7, numpy 2.2.",
        "share: 0.9877.",
        "| measured | n | accuracy |",
        "| validation, diary | 40 | 0.7 |",
        "| fusion | 8 | 2 of 4 | 1,234.6 | 1,300.0 | 6.5 | 30 | 80 | 100 |",
        "- fusion `ffffffffffff`: at most 4 rows a request; an utterance is 1 of mel 80 by 300",
        "| audio | twice as deep | 61.0 | 70.0 | slow \\| worse |",
        ".venv/bin/multimood eval diary --data folder --split val --json docs/runs/eval/diary.json",
        ".venv-train/bin/multimood train fusion --data folder",
    ):
        assert line in lines, line
    assert page(read(runs), SHIPPED, ["diary", "songs"], Links()).splitlines() == lines


def test_every_table_has_as_many_cells_in_each_row(runs: Path) -> None:
    above = 0
    for line in written(runs):
        cells = line.replace("\\|", "").count("|")
        assert not cells or not above or cells == above, line
        above = cells


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    lines = written(tmp_path)
    for line in (
        "None are written down (goals.toml).",
        "Not measured yet: `diary`, `songs`.",
        "No training's run was taken yet (`multimood results --take`); what trainings measured is in the cards.",
        "Not measured yet.",
        "Nothing is written down yet (tried.toml).",
    ):
        assert line in lines, line


def test_other_kinds_of_figures(runs: Path) -> None:
    unjudged = {**score(0.5), **dict.fromkeys((*LOW, "interval", "intervals", "ece")), "note": "nobody judges this"}
    number = {"n": 3, "mae": 0.25, "spearman": 0.5, "mean": {"mae": 0.5, "value": 1.0}}
    found = measured(
        tasks={
            "strategy": {"full": score(0.5, preference_bias=1.234, intervals=None)},
            "strategy_fold_1": {"full": score(0.123)},
            "quality": {"full": unjudged},
        },
        ratings={"intensity": {"none": number}},
        replies={"n": 50, "bleu_2": 1.23456, "bert_score": "not measured"},
        notes={"corrupt rows left out": 2},
        note="by hand",
        models={"fusion": {"version": "1", "sha256": None}},
    )
    (runs / "eval" / "diary.json").write_text(json.dumps(found))
    lines = written(runs)
    for line in (
        "| `strategy` | full | 40 | 50.0 | 50.0 | 50.0 (45.0..55.0) | 50.0 | 40.0 | 20.0 | 10.0 | 25.0 | 3.1 | 1.23 |",
        "| `quality` | full | 40 | - | - | - | - | 40.0 | 20.0 | 10.0 | 25.0 | - | - |",
        "| `intensity` | none | 3 | 0.250 | 0.500 | 0.500 |",
        "Replies: n 50, bleu_2 1.235, bert_score not measured.",
        "- nobody judges this",
        "- Protocol: by hand",
        "- Left out or missing: corrupt rows left out 2.",
        "- Answered by fusion of a server elsewhere; data `dddddddddddd`.",
        ".venv/bin/multimood eval diary --data folder --split val --replies 50 --json docs/runs/eval/diary.json",
    ):
        assert line in lines, line
    assert [line[:81] for line in lines if line.startswith("| Feelings")] == [
        "| Feelings | UAR | diary was measured without `user_emotion` under mask `full` | "
    ]
    assert not [line for line in lines if "12.3" in line], "a fold is in its mean"


def test_figures_of_another_model_than_the_shipped_one_are_marked(runs: Path) -> None:
    other = measured(models={"fusion": {"version": "1", "sha256": "0" * 64}})
    (runs / "eval" / "diary.json").write_text(json.dumps(other))
    (runs / "models.json").write_text(json.dumps(timed("1" * 64)))
    marked = [line for line in written(runs) if "not the one that this version ships: measure again" in line]
    assert [line[:30] for line in marked] == ["- Answered by fusion `00000000", "- fusion `111111111111` (**not"]


@pytest.mark.parametrize(
    ("bound", "value", "met"),
    [
        ({"above": 69.9}, 0.7, True),
        ({"above": 70}, 0.7, False),
        ({"over_best_single": 10}, 0.7, True),
        ({"over_best_single": 10.1}, 0.7, False),
        ({"worst_within": 20}, 0.5, True),
        ({"worst_within": 19.9}, 0.5, False),
    ],
)
def test_a_goal_is_met_or_missed(bound: dict, value: float, met: bool) -> None:
    found = judge(Goal.model_validate(GOAL | bound), {"diary": Measured.model_validate(measured())})
    assert not isinstance(found, str)
    assert (found.value, found.met) == (value, met)


def test_a_goal_names_what_it_was_held_against(runs: Path) -> None:
    text = "".join(
        f'[[goal]]\nabout = "{name}"\ncorpus = "diary"\ntask = "user_emotion"\nmetric = "uar"\n{bound}\n'
        for name, bound in (("Both", 'mask = "audio+video"\nover_best_single = 5'), ("Worst", "worst_within = 10"))
    )
    (runs / "goals.toml").write_text(text)
    lines = written(runs)
    assert (
        "| Both | UAR `audio+video` | val, 40 | 25.0 | 70.0 (65.0..75.0) | ≥ best single + 5: 65.0, of `audio` 60.0 "
        "| met |  |" in lines
    )
    assert (
        "| Worst | UAR `video` | val, 40 | 25.0 | 50.0 (45.0..55.0) | ≥ `full` - 10: 60.0, of `full` 70.0 "
        "| **missed** |  |" in lines
    )


@pytest.mark.parametrize(
    ("tasks", "bound", "said"),
    [
        (None, {"above": 1}, "not measured yet"),
        ({"user_emotion": {"full": score(0.5)}}, {"worst_within": 1}, "diary was measured without masks"),
        (
            {"user_emotion": {"full": score(0.5), "audio": score(0.5)}},
            {"over_best_single": 1},
            "diary was measured with fewer than two modalities alone",
        ),
    ],
)
def test_a_goal_that_cannot_be_judged_says_why(tasks: dict | None, bound: dict, said: str) -> None:
    found = {} if tasks is None else {"diary": Measured.model_validate(measured(tasks=tasks))}
    assert judge(Goal.model_validate(GOAL | bound), found) == said


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("eval/diary.json", "{", r"eval/diary.json is no JSON \(.*\): write it again: multimood eval diary --data"),
        (
            "eval/diary.json",
            json.dumps(measured(tasks={"t": {"full": {"n": 1}}})),
            r"tasks.t.full.accuracy: Field requ",
        ),
        (
            "eval/diary.json",
            json.dumps(measured(tasks={"t": {"full": score(7)}})),
            r"tasks.t.full.accuracy: .* less than",
        ),
        ("eval/diary.json", "[1]", r"eval/diary.json: Input should be .*; write it again"),
        ("eval/song.json", json.dumps(measured()), r"song.json holds results of diary: name it diary.json"),
        (
            "models.json",
            '{"models": []}',
            r"models.json: machine: Field required; write it again: python -m benchmarks",
        ),
        ("goals.toml", "[[goal]", r"goals.toml is no TOML \(.*\): correct it"),
        ("goals.toml", "[[goal]]\nabout = 1", r"goals.toml: goal.0.about: Input should be a valid string; correct it"),
        ("tried.toml", '[[tried]]\nfigur = "1"', r"tried.toml: tried.0.part: Field required; correct it"),
        ("fusion/environment.json", "{}", r"fusion: environment.python: Field required; take it again: multimood res"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_named(runs: Path, file: str, content: str, complaint: str) -> None:
    (runs / file).write_text(content)
    with pytest.raises(ConfigurationError, match=complaint):
        read(runs)


def test_a_goal_has_exactly_one_bound(runs: Path) -> None:
    text = (runs / "goals.toml").read_text()
    (runs / "goals.toml").write_text(text + "worst_within = 10\n")
    with pytest.raises(ConfigurationError, match="give exactly one of above, over_best_single, worst_within"):
        read(runs)


def test_folders_that_are_not_there_or_not_whole_are_named(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nowhere is no folder: `make results DATA=folder` fills"):
        read(tmp_path / "nowhere")
    (runs / "fusion" / "metrics.json").unlink()
    with pytest.raises(NotFoundError, match=r"fusion lacks metrics.json: take it again: multimood results --take"):
        read(runs)


def test_finished_trainings_are_taken_without_their_checkpoints(runs: Path, tmp_path: Path) -> None:
    source = tmp_path / "trainings"
    trained(source / "text")
    (source / "text" / "checkpoint").write_bytes(b"weights")
    trained(source / "audio")
    (source / "audio" / "metrics.json").unlink()
    taken = take(source, runs)
    assert (taken.finished, taken.running) == (["text"], ["audio"])
    assert sorted(path.name for path in (runs / "text").iterdir()) == [
        "config.json",
        "environment.json",
        "metrics.json",
    ]
    assert not (runs / "audio").exists()
    assert "text" in read(runs).trained
    with pytest.raises(NotFoundError, match=r"holds no training \(<model>/config.json\)"):
        take(tmp_path / "nowhere", runs)


def command(*words: object) -> tuple[int, str]:
    outcome = CliRunner().invoke(app, ["results", *map(str, words)])
    return outcome.exit_code, " ".join(outcome.output.split())


def test_a_page_is_written_and_checked(runs: Path, tmp_path: Path) -> None:
    target = tmp_path / "results.md"
    places = ("--runs", runs, "--out", target)
    code, said = command(*places, "--check")
    assert (code, "is not what its files give: run `multimood results` and commit it" in said) == (1, True)
    assert command(*places)[0] == 0
    assert "in [runs](runs)" in target.read_text()
    assert command(*places, "--check")[0] == 0
    (runs / "tried.toml").unlink()
    assert command(*places, "--check")[0] == 1
    assert "twice as deep" in target.read_text(), "checking writes nothing"


def test_trainings_are_taken_first(runs: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "trainings", tmp_path / "results.md"
    trained(source / "text")
    (source / "audio").mkdir()
    (source / "audio" / "config.json").write_text("{}")
    code, said = command("--runs", runs, "--out", target, "--take", source)
    assert code == 0, said
    assert "taken: text" in said
    assert "they have not ended: audio" in said
    assert "### Training: text" in target.read_text()
    code, said = command("--runs", runs, "--out", target, "--take", source, "--check")
    assert (code, "--check writes nothing" in said) == (2, True)


def test_every_corpus_that_is_there_is_measured_and_the_others_keep_what_they_had(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, target = tmp_path / "data", tmp_path / "results.md"
    table(data / "meld.csv", [{"dialogue_id": "1", "text": "The goat is back.", "label": "joy"}])
    lines(data / "mesc.jsonl", mesc())
    (data / "esconv.jsonl").write_text("no JSON")
    monkeypatch.setattr(encode, "TextTokenizer", Letters)
    monkeypatch.setattr(run, "Served", lambda address, *, is_ours: Formula())
    monkeypatch.setattr(run, "server", lambda url, needed: nullcontext(("nowhere", True)))
    places = ("--runs", runs, "--out", target, "--measure", data)
    code, said = command(*places, "--split", "test")
    assert (code, "error: not measured, see above: esconv; what was known of them stays" in said) == (1, True)
    assert said.count("left as it was") == 9
    assert {path.stem for path in (runs / "eval").iterdir()} == {"diary", "meld", "mesc"}
    assert "### mesc, part `test`" in target.read_text()
    code, said = command("--runs", runs, "--out", target, "--measure", tmp_path / "nowhere")
    assert (code, "nowhere holds no corpus with a part 'val'" in said) == (1, True)
