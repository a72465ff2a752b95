"""The committed fusion model, its configuration and card; the labelled data as the training reads them."""

import builtins
import csv
import hashlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from multimood.cli.train import app
from multimood.errors import NotFoundError
from multimood.local.places import checkout
from multimood.taxonomy import EMOTIONS, ESCONV_STRATEGIES, MESC_STRATEGIES
from multimood.training.fusion.corpora import read_faces, read_sounds, read_texts
from multimood.training.fusion.dialogues import STAGES_OF, read_dialogues, stages

pytestmark = pytest.mark.unit

MODEL = checkout() / "triton_models" / "fusion"
INPUTS = {
    "text": [384], "audio": [256], "video": [512], "present": [3], "past": [12, 384], "marks": [12, 20], "step": [1],
}  # fmt: skip
OUTPUTS = {
    "emotion": [8], "modality_emotion": [3, 8], "intensity": [1], "stage": [3], "system_emotion": [8],
    "strategy_mesc": [10], "strategy_esconv": [8],
}  # fmt: skip


def test_the_committed_graph_is_small_and_the_one_of_the_card() -> None:
    graph = (MODEL / "1" / "model.onnx").read_bytes()
    assert len(graph) < 8 << 20
    assert hashlib.sha256(graph).hexdigest() in (MODEL / "MODEL_CARD.md").read_text()


def test_the_configuration_says_what_the_strategist_asks_for() -> None:
    text = (MODEL / "config.pbtxt").read_text()
    code = re.sub(r"#.*", "", text)
    found = {
        name: [int(dim) for dim in dims.split(",")]
        for name, dims in re.findall(r'name: "(\w+)" data_type: TYPE_FP32 dims: \[ ([\d, ]+) \]', code)
    }
    assert found == INPUTS | OUTPUTS
    assert 'backend: "onnxruntime"' in code
    assert "max_batch_size: 32" in code
    assert re.search(r"dynamic_batching \{ *\}", code), "a queue policy makes this Triton stall"
    assert "KIND_AUTO" in code


def test_the_card_names_licences_baselines_and_what_is_not_known() -> None:
    card = (MODEL / "MODEL_CARD.md").read_text()
    for word in ("non-commercial", "CC BY-NC", "majority", "multimood train fusion", "No data exist", "neutral"):
        assert word in card, word
    rows = [line.split("|") for line in card.splitlines() if re.search(r"\| \d+ \| 0\.\d{3}", line)]
    assert len(rows) > 9
    for row in rows:
        numbers = [float(cell) for cell in row[4:-1]]
        assert len(numbers) == 5
        assert all(0 <= number <= 1 for number in numbers)
        if "system_emotion" not in row[1]:
            assert numbers[1] > numbers[4], f"weighted F1 above the majority's: {row}"


# --- stages ----------------------------------------------------------------------------------------------------------

Q, R, A, P, O = (ESCONV_STRATEGIES.index(name) for name in (  # noqa: E741
    "question", "reflection of feelings", "affirmation and reassurance", "providing suggestions", "others",
))  # fmt: skip


@pytest.mark.parametrize(
    ("strategies", "expected"),
    [
        ([Q, Q, A, A, P, P], [0, 0, 1, 1, 2, 2]),
        ([Q, Q, Q, P], [0, 0, 0, 2]),
        ([P, P, P], [2, 2, 2]),
        ([Q, A, Q, A, P], [0, 1, 1, 1, 2]),
        ([O, O, O, O, O, O], [0, 0, 1, 1, 2, 2]),
        ([-1, -1, -1], [0, 1, 2]),
        ([], []),
    ],
)
def test_a_conversation_is_cut_where_the_fewest_strategies_are_out_of_place(
    strategies: list[int], expected: list[int]
) -> None:
    found = stages(strategies)
    assert found == sorted(found)

    def misfits(cut: list[int]) -> int:
        return sum(
            one >= 0 and stage not in STAGES_OF[ESCONV_STRATEGIES[one]]
            for one, stage in zip(strategies, cut, strict=True)
        )

    assert misfits(found) <= misfits(expected)
    if strategies != [Q, A, Q, A, P]:  # there are several best cuts
        assert found == expected


# --- reading -------------------------------------------------------------------------------------------------------


def write_table(path: Path, rows: list[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)


def write_lines(path: Path, rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A few invented rows in the data's own formats."""
    said = [
        ("train", "d0", "A", "joy"),
        ("train", "d0", "B", "fear"),
        ("train", "d0", "A", "anger"),
        ("val", "d1", "A", ""),
    ]
    rows = [
        {
            "id": str(number),
            "utt": str(number),
            "split": split,
            "dialogue_id": dialogue,
            "speaker": who,
            "text": f"words {number}",
            "label": label,
        }
        for number, (split, dialogue, who, label) in enumerate(said)
    ]
    write_table(tmp_path / "text" / "meld.csv", rows)
    write_table(tmp_path / "text" / "dailydialog_reccon.csv", rows)
    write_table(tmp_path / "text" / "goemotions_ekman.csv", [{"id": "x", "split": "val", "text": "w", "label": "joy"}])
    mesc = [
        ("Therapist", "hello", "neutral", "others"), ("Client", "one", "fear", None), ("Client", "two", "joy", None),
        ("Therapist", "why", "neutral", "open question"), ("Therapist", "so", "joy", "approval"),
        ("Client", "three", "anger", None),
    ]  # fmt: skip
    utterances = [
        {"speaker": who, "text": text, "emotion": felt, "strategy": strategy} for who, text, felt, strategy in mesc
    ]
    write_lines(tmp_path / "dialogue" / "mesc.jsonl", [{"dialogue_id": 0, "split": "train", "utterances": utterances}])
    asked = {"speaker": "sys", "text": "why", "strategy": "Question"}
    dialog = [{"speaker": "usr", "text": f"u{n}"} if n % 2 else asked for n in range(1, 13)]
    survey = {"seeker": {"initial_emotion_intensity": "5", "final_emotion_intensity": "2"}}
    write_lines(tmp_path / "dialogue" / "esconv.jsonl", [{"split": "valid", "survey_score": survey, "dialog": dialog}])
    context = [("seeker", "a"), ("supporter", "b"), ("seeker", "c")]
    one = {
        "id": 7, "split": "train", "emotion": "The seeker feels anxious.", "strategy": "Specify", "response": "What?",
        "dialog": [{"speaker": who, "content": text} for who, text in context],
    }  # fmt: skip
    write_lines(tmp_path / "dialogue" / "escot.jsonl", [one])
    sounds = [{"path": f"p{n}", "label": "fear", "speaker": f"s{n}", "split": "test"} for n in range(6)]
    for corpus in ("emodb", "nemo"):
        write_table(tmp_path / "audio" / corpus / "manifest.csv", sounds)
    write_table(
        tmp_path / "audio" / "ravdess" / "manifest.csv", [{**sounds[0], "split": "val"}, {**sounds[1], "label": ""}]
    )
    write_table(
        tmp_path / "face" / "fer2013" / "manifest.csv", [{"path": "f", "label": "joy", "split": "val", "speaker": ""}]
    )
    return tmp_path


def test_texts_are_read_with_the_labels_that_their_corpus_knows(data: Path) -> None:
    meld, goemotions, _, mesc = read_texts(data)
    assert len(meld) == 3, "what has no label is left out"
    assert [EMOTIONS[label] for label in meld.labels] == ["joy", "fear", "anger"]
    assert "depression" not in [EMOTIONS[place] for place in np.flatnonzero(meld.allowed)]
    assert goemotions.held.tolist() == [True]
    assert mesc.inputs == ("one", "two", "three")


def test_a_corpus_without_a_validation_part_holds_speakers_back(data: Path) -> None:
    ravdess, emodb, nemo = read_sounds(data)
    assert ravdess.held.tolist() == [True]
    for corpus in (emodb, nemo):
        held = set(corpus.groups[corpus.held])
        assert held
        assert not held & set(corpus.groups[~corpus.held])
    assert len(read_faces(data)) == 1


def test_dialogues_are_read_by_each_protocol(data: Path) -> None:
    pairs, single, esconv, escot, *scenes = read_dialogues(data)
    assert [turn.text for turn in pairs.turns] == ["hello", "one two", "why so", "three"]
    assert [turn.text for turn in single.turns] == ["hello", "one", "two", "why", "so", "three"]
    assert (pairs.corpus, single.corpus, single.protocol) == ("mesc", "mesc", "mesc+")
    client, therapist = pairs.turns[1:3]
    assert EMOTIONS[client.emotion] == "joy", "a turn feels as its last utterance does"
    assert MESC_STRATEGIES[therapist.strategy] == "open question", "and does what its first one does"
    assert EMOTIONS[therapist.system_emotion] == "neutral"
    assert esconv.held
    assert [turn.text for turn in escot.turns] == ["a", "b", "c", "What?"]
    assert EMOTIONS[escot.turns[2].emotion] == "fear"
    assert ESCONV_STRATEGIES[escot.turns[3].strategy] == "question"
    assert [scene.held for scene in scenes] == [False, True, False, True]
    assert [turn.emotion >= 0 for turn in scenes[1].turns] == [False], "what has no label is said all the same"


def test_reported_intensities_belong_to_the_first_and_the_last_turns(data: Path) -> None:
    turns = [turn for turn in read_dialogues(data)[2].turns if turn.speaker == "usr"]
    assert [turn.intensity for turn in turns] == [1.0, 1.0, 1.0, 0.25, 0.25, 0.25]
    stages_ = [turn.stage for turn in turns]
    assert stages_ == sorted(stages_)


def test_a_missing_data_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"meld\.csv"):
        read_texts(tmp_path)
    with pytest.raises(NotFoundError, match=r"mesc\.jsonl"):
        read_dialogues(tmp_path)


def test_the_command_names_the_remedy_when_its_packages_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = builtins.__import__

    def bare(name: str, *arguments: object, **options: object) -> object:
        if name.partition(".")[0] in {"sklearn", "onnxruntime", "scipy"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return genuine(name, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", bare)
    for module in [name for name in sys.modules if name.startswith("multimood.training.")]:
        monkeypatch.delitem(sys.modules, module)
    for model in ("audio", "video", "fusion", "crisis", "empathy"):
        found = CliRunner().invoke(app, [model, "--data", str(tmp_path)])
        assert found.exit_code == 1, model
        assert "make train-env" in found.output, model
