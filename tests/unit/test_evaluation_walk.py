"""Dialogues as the strategist would live through them; and nothing of the truth reaches a model."""

import copy
from pathlib import Path

import numpy as np
import pytest
from evaluation_world import Formula, Letters, Quiet, esconv, lines, mesc, table
from media_files import clip, sound

from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import UnavailableError
from multimood.evaluation import encode
from multimood.evaluation.concurrently import all_of
from multimood.evaluation.corpora import corpora
from multimood.evaluation.encode import Encoded, Encoders
from multimood.evaluation.faces import with_face
from multimood.evaluation.measuring import Measuring, heard, predictions
from multimood.evaluation.past import Past, likeliest
from multimood.evaluation.result import Result
from multimood.evaluation.rows import FaceEvidence, Seen
from multimood.evaluation.source import Source
from multimood.evaluation.walk import walk
from multimood.evaluation.writing import answered, sampled
from multimood.perception.conversation import after_decision, after_reply, history_of, packed, shortened
from multimood.perception.fusion import Perception, Sight
from multimood.perception.settings import PerceptionSettings
from multimood.taxonomy import EMOTIONS, MESC_STRATEGIES

pytestmark = pytest.mark.unit

KEPT = PerceptionSettings(turns=5, turn_chars=64)


def perception(number: int) -> Perception:
    emotion = {label: (10.0 if place == number % 8 else 1.0) / 17 for place, label in enumerate(EMOTIONS)}
    strategy = {label: (10.0 if place == number % 10 else 1.0) / 19 for place, label in enumerate(MESC_STRATEGIES)}
    return Perception(emotion, {}, 0.5, "action", emotion, strategy, "1")


def vector(text: str) -> bytes:
    return packed(np.random.default_rng(len(text)).standard_normal(384).astype(np.float32))


def test_the_past_is_the_service_s_own_state() -> None:
    """Turn after turn what the strategist would keep, but that an answer stays when what it answers has left."""
    past, state = Past(KEPT), None
    for number in range(9):
        words, answer = f"what was said {number} " + "x" * 90, f"what was answered {number}"
        context = pb.Context(utterance_id=str(number + 1))
        seen = perception(number)
        own = past.state("")
        assert (own is None) == (state is None)
        if own is not None and state is not None:
            kept = len(state.turns)
            assert [strip(turn) for turn in own.turns][-kept:] == [strip(turn) for turn in state.turns]
            assert own.steps == state.steps
            one, other = history_of(own), history_of(state)
            assert one.past[-kept:].tolist() == other.past[-kept:].tolist()
            assert one.marks[-kept:].tolist() == other.marks[-kept:].tolist()
        emotion = [pb.Probability(label=label, p=p) for label, p in seen.emotion.items()]
        said = pb.Turn(role=pb.ROLE_USER, text=shortened(words, KEPT.turn_chars), utterance_id=str(number + 1))
        said.label, said.vector = likeliest(seen.emotion), vector(words)
        decision = pb.Decision(context=context, step=number, user_emotion=emotion, dialogue=[said])
        state = after_decision(state, decision, KEPT.turns)
        state = after_reply(state, pb.Reply(context=context, text=answer), KEPT.turns, KEPT.turn_chars, vector(answer))
        past.heard("", words, vector(words), seen)
        past.answered(answer, vector(answer))


def strip(turn: pb.Turn) -> pb.Turn:
    """Without the name of what it answers."""
    bare = pb.Turn()
    bare.CopyFrom(turn)
    bare.ClearField("utterance_id")
    return bare


def test_to_each_speaker_the_others_are_who_answers() -> None:
    past = Past(KEPT)
    for number, (speaker, text) in enumerate([("A", "one"), ("B", "two"), ("C", "three")]):
        past.heard(speaker, text, vector(text), perception(number))
    for speaker, own in (("A", [True, False, False]), ("B", [False, True, False]), ("D", [False] * 3)):
        state = past.state(speaker)
        assert state is not None
        assert [turn.text for turn in state.turns] == ["one", "two", "three"]
        assert [turn.role == pb.ROLE_USER for turn in state.turns] == own
        assert [bool(turn.emotion) for turn in state.turns] == own, "how others feel is not perceived"
        assert state.steps == own.count(True)
        told = history_of(state)
        assert told.marks[-3:, 0].tolist() == own
        assert told.past[-3:].any(axis=1).all(), "what others said is known"
    assert Past(KEPT).state("A") is None


class Asked:
    """Stands for the fusion model: counts up, and remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int, list[str]]] = []

    async def __call__(self, sight: Sight, state: pb.Conversation | None) -> Perception:
        said = [] if state is None else [turn.text for turn in state.turns]
        self.told.append((len(sight.vectors), 0 if state is None else state.steps, said))
        return perception(len(self.told))


class Worded(Encoded):
    """Every text has a vector."""

    def words(self, text: str) -> np.ndarray:
        return np.full(384, 0.5, np.float32)

    def sight(self, seen: Seen) -> Sight:
        return Sight({pb.MODALITY_TEXT: np.zeros(384, np.float32)} if seen.text else {})


WORDED = Worded({}, encode.Counter(), frozenset())


async def test_a_reply_is_predicted_before_it_is_heard() -> None:
    dialogue = [Seen("system", text="opening"), Seen(text="hello"), Seen("system", text="a"), Seen("system", text="b")]
    ask = Asked()
    moments = await walk(dialogue, WORDED, ask, KEPT)
    assert ask.told == [
        (0, 0, []),
        (1, 0, ["opening"]),
        (0, 1, ["opening", "hello", "a"]),
    ], "the first reply is what the strategist chose with the utterance; at the next one nothing new was said"
    assert moments[2] is moments[1]
    assert moments[1].modalities == {"text"}


async def test_none_is_the_history_alone() -> None:
    dialogue = [Seen(text="one"), Seen("system", text="two"), Seen(text="three")]
    full = await walk(dialogue, WORDED, Asked(), KEPT)
    ask = Asked()
    await walk(dialogue, WORDED, ask, KEPT, mask=frozenset(), told=full)
    assert ask.told == [(0, 0, []), (0, 1, ["one", "two"])]


async def test_rows_count_under_a_mask_only_if_they_came_with_it() -> None:
    unusable = Encoded({("text", "one"): None, ("audio", "x"): None}, encode.Counter(), frozenset())
    moments = await walk([Seen(text="one"), Seen(audio=Path("x"))], unusable, Asked(), KEPT)
    assert [one is not None for one in predictions(moments, "text")] == [True, False]
    assert [one is not None for one in predictions(moments, "text+audio")] == [False, False]
    assert None not in predictions(moments, "full")


def test_replies_are_asked_for_where_a_person_was_answered() -> None:
    said = [Seen("system", text="a"), Seen(text="b"), Seen("system", text="c"), Seen("system", text="d")]
    dialogues = [said, [*said, Seen(text="e"), Seen("system", text="f")]]
    assert answered(dialogues, "all") == [(0, 2), (1, 2), (1, 5)]
    assert answered(dialogues, "last") == [(1, 5)]
    assert answered(dialogues, "none") == []
    assert sampled(answered(dialogues, "all"), 2) == sampled(answered(dialogues, "all"), 2)


def test_evidence_of_a_face_moves_the_emotion() -> None:
    even = dict.fromkeys(EMOTIONS, 1 / 8)
    joyful = FaceEvidence({label: 0.9 if label == "joy" else 0.1 / 7 for label in EMOTIONS})
    both, alone = with_face(even, joyful), with_face(None, joyful)
    assert likeliest(both) == likeliest(alone) == "joy"
    assert alone["joy"] == pytest.approx(0.9, abs=1e-3)
    assert sum(both.values()) == pytest.approx(1)


async def test_the_first_failure_is_raised_as_it_is() -> None:
    async def fails() -> None:
        raise UnavailableError("gone")

    with pytest.raises(UnavailableError, match="gone"):
        await all_of([fails(), fails()])


# --- nothing leaks ---------------------------------------------------------------------------------------------------


async def predicted(name: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[object, object]:
    """Everything that was predicted, and every question that was asked."""
    monkeypatch.setattr(encode, "TextTokenizer", Letters)
    served = Formula()
    parts = list(corpora()[name].read(Source(path)))
    measuring = Measuring(served, Quiet(), Result(name, "test", ""), 0)  # type: ignore[arg-type]
    encoded = await Encoders(served).encode(heard(parts), lambda: None)  # type: ignore[arg-type]
    found = []
    for part in parts:
        by_mask = await measuring._moments([one.seen for one in part.dialogues], part.taxonomy, encoded)
        found.append([(mask, repr([predictions(one, mask) for one in rows])) for mask, rows in by_mask.items()])
    return found, served.asked


async def test_mesc_predictions_do_not_change_with_labels_and_situations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = copy.deepcopy(mesc())
    for dialogue in changed:
        dialogue |= {"situation": "quite another", "problem_type": "none", "season": 4}
        for said in dialogue["utterances"]:
            said |= {"emotion": "joy", "strategy": "advisement", "video_description": "a smile"}
    one = await predicted("mesc", lines(tmp_path / "a.jsonl", mesc()), monkeypatch)
    assert one == await predicted("mesc", lines(tmp_path / "b.jsonl", changed), monkeypatch)
    changed[1]["utterances"][0]["text"] = "Other words."
    assert one != await predicted("mesc", lines(tmp_path / "c.jsonl", changed), monkeypatch)


async def test_esconv_predictions_do_not_change_with_labels_and_situations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = copy.deepcopy(esconv())
    changed |= {"situation": "quite another", "emotion_type": "joy", "problem_type": "none"}
    changed["survey_score"]["seeker"]["initial_emotion_intensity"] = "1"
    for turn in changed["dialog"]:
        if turn["speaker"] == "sys":
            turn["strategy"] = "Others"
    one = await predicted("esconv", lines(tmp_path / "a.jsonl", [esconv()]), monkeypatch)
    assert one == await predicted("esconv", lines(tmp_path / "b.jsonl", [changed]), monkeypatch)


async def test_the_last_words_change_nothing_before_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = copy.deepcopy(mesc())
    changed[0]["utterances"][-1]["text"] = "Warm."
    monkeypatch.setattr(encode, "TextTokenizer", Letters)
    found = []
    for name, rows in (("a", mesc()), ("b", changed)):
        served = Formula()
        (part, _) = corpora()["mesc"].read(Source(lines(tmp_path / f"{name}.jsonl", rows)))
        encoded = await Encoders(served).encode(heard([part]), lambda: None)  # type: ignore[arg-type]
        measuring = Measuring(served, Quiet(), Result("mesc", "test", ""), 0)  # type: ignore[arg-type]
        moments = (await measuring._moments([part.dialogues[0].seen], "mesc", encoded))["full"][0]
        found.append(repr(predictions(moments, "full")[:-1]))
    assert found[0] == found[1]


# --- media -----------------------------------------------------------------------------------------------------------


async def test_media_that_cannot_be_used_are_missing_and_counted(tmp_path: Path) -> None:
    (tmp_path / "voice.wav").write_bytes(sound("wav", "pcm_s16le"))
    (tmp_path / "silent.mp4").write_bytes(clip())
    (tmp_path / "broken.wav").write_bytes(b"RIFF\0\0\0\0WAVEnothing")
    voice, silent, broken, gone = (tmp_path / f for f in ("voice.wav", "silent.mp4", "broken.wav", "gone.wav"))
    rows = [Seen(audio=voice), Seen(audio=silent, video=silent), Seen(audio=broken), Seen(audio=gone)]
    encoded = await Encoders(Formula()).encode(rows, lambda: None)  # type: ignore[arg-type]
    assert [sorted(encoded.sight(row).vectors) for row in rows] == [[pb.MODALITY_AUDIO], [pb.MODALITY_VIDEO], [], []]
    assert [sorted(encoded.modalities(row)) for row in rows] == [["audio"], ["video"], ["audio"], ["audio"]]
    assert encoded.reasons["clips without sound"] == 1
    assert encoded.reasons["audio missing: media_not_found"] == 1
    assert encoded.reasons.total() == 3


async def test_a_whole_evaluation_over_folds(tmp_path: Path) -> None:
    (tmp_path / "Clip").mkdir()
    for name in ("00001", "00002"):
        (tmp_path / "Clip" / f"{name}.mp4").write_bytes(clip(seconds=0.3))
    for fold in range(1, 6):
        rows = [{"video_name": "1", "label": str(fold)}, {"video_name": "2", "label": "7"}]
        table(tmp_path / "EmoLabel_DataSplit" / "test(single-labeled)" / f"set_{fold}.csv", rows)
    parts = list(corpora()["dfew"].read(Source(tmp_path)))
    result = Result("dfew", "test", "")
    await Measuring(Formula(), Quiet(), result, 0).run(parts)  # type: ignore[arg-type]
    whole = result.tasks["user_emotion"]["full"]
    each = [result.tasks[f"user_emotion_fold_{fold}"]["full"] for fold in range(1, 6)]
    assert whole["n"] == 10
    assert whole["accuracy"] == pytest.approx(sum(one["accuracy"] for one in each) / 5)
    assert list(result.tasks["user_emotion"]) == ["full", "video"], "the clips have no sound"
