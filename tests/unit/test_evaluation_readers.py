"""Every corpus' own file format into rows: protocols, labels, splits, and what is wrong with a file."""

import re
from pathlib import Path

import pytest
from evaluation_world import client, esconv, lines, mesc, table, therapist

from multimood.errors import ConfigurationError, NotFoundError
from multimood.evaluation.corpora import corpora
from multimood.evaluation.rows import Part
from multimood.evaluation.source import Source

pytestmark = pytest.mark.unit


def read(name: str, path: Path, split: str = "test") -> tuple[list[Part], Source]:
    source = Source(path, split)
    return list(corpora()[name].read(source)), source


def shown(part: Part) -> list[list[tuple[str, str, dict]]]:
    return [[(row.seen.role, row.seen.text, dict(row.truth)) for row in one.rows] for one in part.dialogues]


def test_there_is_a_reader_for_every_corpus() -> None:
    named = "annomi dfew emodb epitome esconv escot fer2013 meld mesc nemo ravdess ravdess_paired rows"
    assert sorted(corpora()) == named.split()


# --- MESC ------------------------------------------------------------------------------------------------------------


def test_mesc_pairs_take_the_last_of_the_client_and_the_first_of_the_therapist(tmp_path: Path) -> None:
    (pairs, _), _ = read("mesc", lines(tmp_path / "mesc.jsonl", mesc()))
    first, second = shown(pairs)
    assert first == [
        ("system", "Come in and sit down.", {}),
        ("user", "The roof of my boat is gone. And the oars were painted green.", {"user_emotion": "sadness"}),
        ("system", "Green oars, you say. What did you feel?", {"strategy": "restatement", "system_emotion": "neutral"}),
        ("user", "Cold.", {}),
    ]
    assert [truth for *_, truth in second] == [
        {"user_emotion": "joy"}, {"strategy": "approval", "system_emotion": "neutral"},
    ]  # fmt: skip


def test_mesc_by_utterance_asks_for_every_one(tmp_path: Path) -> None:
    (_, single), _ = read("mesc", lines(tmp_path / "mesc.jsonl", mesc()))
    first, _ = shown(single)
    assert [(role, sorted(truth)) for role, _, truth in first] == [
        ("system", ["strategy", "system_emotion"]), ("user", ["user_emotion"]), ("user", ["user_emotion"]),
        ("system", ["strategy", "system_emotion"]), ("system", ["strategy", "system_emotion"]),
        ("user", ["user_emotion"]),
    ]  # fmt: skip
    assert [task.name for task in single.tasks] == [
        "user_emotion_utterance", "strategy_utterance", "system_emotion_utterance",
    ]  # fmt: skip


@pytest.mark.parametrize("place", ["mesc.jsonl", "dialogue/mesc.jsonl", "anything.jsonl"])
def test_a_file_its_folder_or_the_folder_above(tmp_path: Path, place: str) -> None:
    (tmp_path / place).parent.mkdir(exist_ok=True)
    file = lines(tmp_path / place, mesc())
    (pairs, _), source = read("mesc", file if "any" in place else tmp_path)
    assert len(pairs.dialogues) == 2
    assert source.files == [file]


def test_what_is_corrupt_is_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    odd = {"utterances": [client("Well.", "joy"), therapist("Yes?", "juggling"), {"speaker": "Dog", "text": "Woof"}, 7]}
    file = lines(tmp_path / "mesc.jsonl", [odd | {"split": "test"}, {"split": "test", "utterances": None}])
    file.write_text(file.read_text() + "{broken\n[]\n")
    (pairs, _), source = read("mesc", file)
    assert [truth for *_, truth in shown(pairs)[0]] == [{"user_emotion": "joy"}, {"system_emotion": "neutral"}]
    assert source.notes == {
        "corrupt rows left out": 2, "corrupt utterances left out": 2,
        "strategies without a counterpart, not scored": 1,
    }  # fmt: skip


# --- splits ----------------------------------------------------------------------------------------------------------


def test_without_a_split_column_all_is_taken(tmp_path: Path) -> None:
    (pairs, _), _ = read("mesc", lines(tmp_path / "mesc.jsonl", mesc(split=None)))
    assert len(pairs.dialogues) == 2


def test_a_split_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    file = lines(tmp_path / "mesc.jsonl", [*mesc("train"), *mesc("val")])
    with pytest.raises(NotFoundError, match=r"no rows of split 'test': it has train \(2\), val \(2\); or `all`"):
        read("mesc", file)
    (pairs, _), _ = read("mesc", file, "all")
    assert len(pairs.dialogues) == 4


def test_valid_and_val_are_the_same(tmp_path: Path) -> None:
    (part,), _ = read("esconv", lines(tmp_path / "esconv.jsonl", [esconv("valid"), esconv("train")]), "val")
    assert len(part.dialogues) == 1


# --- what is wrong ---------------------------------------------------------------------------------------------------


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"--data .*nowhere is not there: give"):
        read("mesc", tmp_path / "nowhere")
    with pytest.raises(NotFoundError, match=r"holds none of meld\.csv, text/meld\.csv"):
        read("meld", tmp_path)


def test_a_missing_column_is_named_and_what_may_be_words_is_not(tmp_path: Path) -> None:
    file = table(tmp_path / "meld.csv", [{"text": "Good morning.", "mood": "joy", "He said: go away!": ""}])
    with pytest.raises(ConfigurationError) as caught:
        read("meld", file)
    assert "no column dialogue_id, label: it has text, mood" in str(caught.value)
    assert "go away" not in str(caught.value)


def test_media_in_another_place(tmp_path: Path) -> None:
    file = table(tmp_path / "manifest.csv", [{"path": "audio/x/1.flac", "label": "joy", "speaker": "a"}])
    with pytest.raises(NotFoundError, match=re.escape(str(tmp_path / "audio/x/1.flac"))):
        read("ravdess", file)


# --- the others ------------------------------------------------------------------------------------------------------


def test_esconv_asks_for_every_utterance_of_the_supporter_after_the_first_of_the_seeker(tmp_path: Path) -> None:
    (part,), _ = read("esconv", lines(tmp_path / "esconv.jsonl", [esconv()]))
    assert shown(part) == [
        [
            ("system", "Hello there.", {}),
            ("user", "My goat ran off. Twice.", {"intensity": 0.75}),
            ("system", "You miss it.", {"strategy": "reflection of feelings"}),
            ("system", "Call its name.", {"strategy": "providing suggestions"}),
            ("user", "I will.", {"intensity": 0.75}),
        ]
    ]
    assert part.taxonomy == "esconv"


def test_esconv_as_first_published_has_annotations(tmp_path: Path) -> None:
    turns = [
        {"speaker": "seeker", "annotation": {}, "content": "My goat ran off."},
        {"speaker": "supporter", "annotation": {"strategy": "Others"}, "content": "Oh."},
    ]
    (part,), _ = read("esconv", lines(tmp_path / "esconv.jsonl", [{"dialog": turns}]))
    assert [truth for *_, truth in shown(part)[0]] == [{}, {"strategy": "others"}]


def test_escot_s_labels_by_declared_maps_only(tmp_path: Path) -> None:
    def one(emotion: str | None, strategy: str | None) -> dict:
        return {
            "split": "test", "emotion": emotion, "strategy": strategy, "response": "Tell me more.",
            "dialog": [{"speaker": "seeker", "content": "So much to do."}],
        }  # fmt: skip

    rows = [one("She is overwhelmed and worried.", "Specify"), one("He feels odd.", "Imagery"), one(None, None)]
    (part,), source = read("escot", lines(tmp_path / "escot.jsonl", rows))
    assert [[truth for *_, truth in dialogue] for dialogue in shown(part)] == [
        [{"user_emotion": "fear"}, {"strategy": "question"}], [{}, {}], [{}, {}],
    ]  # fmt: skip
    assert sum(source.notes.values()) == 2


def test_meld_keeps_scenes_in_order_and_speakers_apart(tmp_path: Path) -> None:
    rows = [
        {"dialogue_id": "7", "utt": "1", "speaker": "B", "text": "No.", "label": "anger", "split": "test"},
        {"dialogue_id": "8", "utt": "0", "speaker": "A", "text": "Hm.", "label": "", "split": "test"},
        {"dialogue_id": "7", "utt": "0", "speaker": "A", "text": "Yes?", "label": "neutral", "split": "test"},
    ]
    (part,), _ = read("meld", table(tmp_path / "text" / "meld.csv", rows).parents[1])
    assert [[(row.seen.speaker, row.truth.get("user_emotion")) for row in one.rows] for one in part.dialogues] == [
        [("A", "neutral"), ("B", "anger")], [("A", None)],
    ]  # fmt: skip


def test_a_manifest_s_paths_are_found_from_any_folder_above(tmp_path: Path) -> None:
    folder = tmp_path / "audio" / "emodb"
    rows = [
        {"path": f"audio/emodb/{name}.flac", "label": label, "speaker": name, "split": "test"}
        for name, label in (("a", "joy"), ("b", "anger"), ("c", ""))
    ]
    table(folder / "manifest.csv", rows)
    for name in "abc":
        (folder / f"{name}.flac").write_bytes(b"x")
    (part,), source = read("emodb", folder)
    assert [(one.group, one.rows[0].seen.audio) for one in part.dialogues] == [
        ("a", folder / "a.flac"), ("b", folder / "b.flac"),
    ]  # fmt: skip
    assert source.notes == {"rows without an emotion left out": 1}
    (held,), _ = read("emodb", folder, "val")
    assert [one.group for one in held.dialogues] == ["b"], "the speakers that training holds back"


def test_a_corpus_folder_may_have_been_put_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "faces" / "test" / "joy").mkdir(parents=True)
    picture = tmp_path / "faces" / "test" / "joy" / "1.png"
    picture.write_bytes(b"x")
    rows = [{"path": "face/fer2013/test/joy/1.png", "label": "joy"}]
    (part,), _ = read("fer2013", table(tmp_path / "faces" / "manifest.csv", rows))
    assert part.dialogues[0].rows[0].seen.picture == picture
    assert part.dialogues[0].group == "face/fer2013/test/joy/1.png"


def test_ravdess_paired_reads_the_face_as_a_distribution(tmp_path: Path) -> None:
    row = {"audio_path": "1.flac", "label": "joy", "speaker": "s", "split": "test", "AU12_r": "2.5"}
    faces = dict.fromkeys(("anger", "disgust", "fear", "happy", "sad", "surprise"), "0.1")
    (tmp_path / "1.flac").write_bytes(b"x")
    rows = [row | {f"aumlp_{name}": p for name, p in (faces | {"calm": "0.3", "neutral": "0.1"}).items()}]
    rows.append(rows[0] | {"aumlp_calm": "?"})
    (part,), source = read("ravdess_paired", table(tmp_path / "ravdess_paired.csv", rows))
    good, bad = (one.rows[0].seen.face for one in part.dialogues)
    assert good is not None
    assert good.shares["neutral"] == pytest.approx(0.4)
    assert good.units == {"AU12_r": 2.5}
    assert bad is None
    assert sum(source.notes.values()) == 1


def test_dfew_s_own_folders(tmp_path: Path) -> None:
    (tmp_path / "Clip" / "clips").mkdir(parents=True)
    (tmp_path / "Clip" / "clips" / "00012.mp4").write_bytes(b"x")
    folder = tmp_path / "EmoLabel_DataSplit" / "test(single-labeled)"
    for fold in (1, 2):
        rows = [{"video_name": name, "label": label} for name, label in (("12", "1"), ("00013", "7"), ("14", "8"))]
        table(folder / f"set_{fold}.csv", rows)
    parts, source = read("dfew", tmp_path)
    assert [part.tasks[0].name for part in parts] == ["user_emotion_fold_1", "user_emotion_fold_2"]
    there, gone = (one.rows[0] for one in parts[0].dialogues)
    assert there.seen.video == there.seen.audio == tmp_path / "Clip" / "clips" / "00012.mp4"
    assert (there.truth, gone.truth, gone.seen.video) == ({"user_emotion": "joy"}, {"user_emotion": "fear"}, None)
    assert source.notes["folds without a file"] == 3
    with pytest.raises(NotFoundError, match="no split 'val': it has test, train"):
        read("dfew", tmp_path, "val")


def test_epitome_and_annomi(tmp_path: Path) -> None:
    row = {"sp_id": "p", "seeker_post": "It rains.", "response_post": "Still?", "er": "0", "ip": "1", "ex": "2"}
    (part,), _ = read("epitome", table(tmp_path / "epitome_empathy.csv", [row]))
    assert shown(part) == [[("user", "It rains.", {}), ("system", "Still?", {"er": "0", "ip": "1", "ex": "2"})]]
    assert part.judge == "empathy"
    turns = [
        {"transcript_id": "1", "mi_quality": "low", "interlocutor": who, "utterance_text": "Hm."}
        for who in ("therapist", "client")
    ]
    (session,), _ = read("annomi", table(tmp_path / "annomi.csv", turns))
    truth = {"quality": "low", "session_quality": "low"}
    assert shown(session) == [[("system", "Hm.", truth), ("user", "Hm.", {})]]


def test_rows_of_one_s_own(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"x")
    rows = [
        {"labels": {"user_emotion": ["joy", "fear"]}, "taxonomy": "esconv"},
        {"dialogue": "d", "text": " Hello. ", "truth": {"user_emotion": "joy", "intensity": 0.5}, "split": "test"},
        {"dialogue": "d", "role": "system", "text": "Hi.", "truth": {"strategy": "question"}, "split": "test"},
        {"group": "s", "audio": "a.wav", "truth": {"user_emotion": "anger", "intensity": 7}, "split": "test"},
        {"text": "x", "split": "train"},
    ]
    (part,), source = read("rows", lines(tmp_path / "mine.jsonl", rows))
    assert shown(part) == [
        [("user", "Hello.", {"user_emotion": "joy", "intensity": 0.5}), ("system", "Hi.", {"strategy": "question"})],
        [("user", "", {})],
    ]
    assert [one.group for one in part.dialogues] == ["d", "s"]
    assert part.dialogues[1].rows[0].seen.audio == tmp_path / "a.wav"
    assert [(task.name, len(task.labels)) for task in part.tasks] == [
        ("user_emotion", 2), ("strategy", 8), ("intensity", 0),
    ]  # fmt: skip
    assert sum(source.notes.values()) == 2


def test_rows_with_labels_that_nothing_knows(tmp_path: Path) -> None:
    file = lines(tmp_path / "rows.jsonl", [{"labels": {"user_emotion": ["glee"]}}, {"text": "x"}])
    with pytest.raises(ConfigurationError, match="'user_emotion' do not fit: allowed are anger"):
        read("rows", file)
