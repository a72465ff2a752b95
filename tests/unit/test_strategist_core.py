"""Policy, memory, perception, decision and conversation of the strategist, each by itself."""

import math
from dataclasses import replace

import numpy as np
import pytest
from strategist_world import POLICY, context, embedding, features, reply

from multimood.contracts.v1 import events_pb2 as pb
from multimood.eligibility import ADVICE
from multimood.history import DONE, ESCONV_AS_MESC, FELT, TURNS, WIDTH, PastTurn, history
from multimood.perception.conversation import after_decision, after_reply, dialogue_with, history_of, packed, shortened
from multimood.perception.fusion import Perception, UnusableAnswerError, perceive, question, see
from multimood.perception.state import names_of
from multimood.taxonomy import EMOTIONS, ESCONV_STRATEGIES, MESC_STRATEGIES, STAGES
from services.strategist.decision import Kept, decide, override_of
from services.strategist.exploration import Exploration
from services.strategist.memory import Memory
from services.strategist.policy import choose, draw, eligible

pytestmark = pytest.mark.unit

KEPT = Kept(turns=6, chars=100)
TEXT, AUDIO, VIDEO = pb.MODALITY_TEXT, pb.MODALITY_AUDIO, pb.MODALITY_VIDEO


def perception(**change: object) -> Perception:
    even = dict.fromkeys(EMOTIONS, 1 / 8)
    made = {
        "emotion": even, "by_modality": {TEXT: even}, "intensity": 0.5, "stage": "comforting",
        "system_emotion": even, "strategy": dict.fromkeys(MESC_STRATEGIES, 0.1), "model_version": "3",
    }  # fmt: skip
    return Perception(**{**made, **change})  # type: ignore[arg-type]


def outputs(**change: np.ndarray) -> dict[str, np.ndarray]:
    sizes = {"emotion": 8, "stage": 3, "system_emotion": 8, "strategy_mesc": 10, "strategy_esconv": 8}
    made = {name: np.full((1, size), 1 / size, np.float32) for name, size in sizes.items()}
    made["modality_emotion"] = np.full((1, 3, 8), 1 / 8, np.float32)
    made["intensity"] = np.array([[0.25]], np.float32)
    return made | change


# --- history ---------------------------------------------------------------------------------------------------------


def test_the_history_s_layout() -> None:
    words = np.arange(WIDTH, dtype=np.float32)
    told = history(
        [PastTurn(own=False, done="approval"), PastTurn(own=True, vector=words, felt={"sadness": 0.75, "joy": 0.25})], 5
    )
    assert (told.past.shape, told.marks.shape, told.step.tolist()) == ((TURNS, WIDTH), (TURNS, 20), [0.25])
    assert {array.dtype for array in told} == {np.dtype(np.float32)}
    assert not told.past[:-1].any(), "the latest turn stands last, and what has no words has no vector"
    assert told.past[-1].tolist() == words.tolist()
    assert not told.marks[:-2].any()
    approving, sad = told.marks[-2:]
    assert (approving[:2].tolist(), sad[:2].tolist()) == ([0, 1], [1, 0]), "whose turn it was"
    assert approving[DONE].tolist() == [name == "approval" for name in MESC_STRATEGIES]
    assert sad[FELT][EMOTIONS.index("sadness")] == np.float32(0.75)
    assert not approving[FELT].any()
    assert not sad[DONE].any()


def test_the_history_is_of_the_last_turns_and_of_no_more_steps_than_it_knows() -> None:
    told = history([PastTurn(own=True, vector=np.full(WIDTH, n, np.float32)) for n in range(TURNS + 3)], 300)
    assert told.past[:, 0].tolist() == list(range(3, TURNS + 3))
    assert told.step.tolist() == [1.0]
    assert not np.concatenate([array.ravel() for array in history((), 0)]).any()


def test_every_strategy_has_a_place_and_no_esconv_strategy_shares_one() -> None:
    assert set(ESCONV_AS_MESC) == set(ESCONV_STRATEGIES)
    places = [int(history([PastTurn(own=False, done=name)], 1).marks[-1, DONE].argmax()) for name in ESCONV_STRATEGIES]
    assert len(set(places)) == len(places)
    with pytest.raises(ValueError, match="no such strategy: nodding"):
        history([PastTurn(own=False, done="nodding")], 1)
    with pytest.raises(ValueError, match="no such emotion: ennui"):
        history([PastTurn(own=True, felt={"ennui": 1.0})], 1)


# --- policy ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("taxonomy", "labels"), [("mesc", MESC_STRATEGIES), ("esconv", ESCONV_STRATEGIES)])
def test_who_is_eligible(taxonomy: str, labels: tuple[str, ...]) -> None:
    later = eligible(taxonomy, 1)  # type: ignore[arg-type]
    assert set(labels) - set(later) == {"others"}
    assert set(later) - set(eligible(taxonomy, 0)) == ADVICE & set(labels)  # type: ignore[arg-type]


def test_the_mixture_by_hand() -> None:
    names = ("a", "b")
    found = Exploration("epsilon", 0.2).behaviour({"a": 0.6, "b": 0.2, "c": 0.2}, names)
    assert found.strategy == pytest.approx({"a": 0.8 * 0.75 + 0.1, "b": 0.8 * 0.25 + 0.1})
    assert found.added == pytest.approx({"a": 0.1 / 0.7, "b": 0.1 / 0.3})
    for one in (Exploration(), Exploration("epsilon", 0.2), Exploration("temperature", 2.0)):
        nothing = one.behaviour({"a": 0.0, "b": 0.0, "c": 1.0}, names)
        assert nothing.strategy == pytest.approx({"a": 0.5, "b": 0.5})
    assert Exploration("epsilon", 1.0).behaviour({"a": 1.0, "b": 0.0}, names).strategy == pytest.approx(
        {"a": 0.5, "b": 0.5}
    )


def test_a_temperature_levels_by_hand() -> None:
    found = Exploration("temperature", 2.0).behaviour({"a": 0.64, "b": 0.36}, ("a", "b"))
    assert found.strategy == pytest.approx({"a": 0.8 / 1.4, "b": 0.6 / 1.4})
    assert found.added == pytest.approx({"a": 0.0, "b": 1 - 0.36 / (0.6 / 1.4)})
    same = Exploration("temperature", 1.0).behaviour({"a": 0.64, "b": 0.36}, ("a", "b"))
    assert same.strategy == pytest.approx({"a": 0.64, "b": 0.36})
    assert same.added == pytest.approx({"a": 0.0, "b": 0.0})


def test_without_exploration_the_model_s_own_distribution_is_drawn_from() -> None:
    found = Exploration().behaviour({"a": 0.3, "b": 0.0, "c": 0.7}, ("a", "b"))
    assert found.strategy == {"a": 1.0, "b": 0.0}
    assert {draw(found.strategy, str(seed)) for seed in range(200)} == {"a"}, "what has no probability is never drawn"


def test_as_many_choices_are_called_explored_as_exploration_adds() -> None:
    """By epsilon's definition: a share epsilon of all choices; for a temperature, the distance between the policies."""
    model = {name: (0.82 if name == "approval" else 0.02) for name in MESC_STRATEGIES}
    for exploration in (Exploration("epsilon", 0.3), Exploration("temperature", 3.0), Exploration()):
        behaviour = exploration.behaviour(model, eligible("mesc", 1))
        expected = sum(p * behaviour.added[name] for name, p in behaviour.strategy.items())
        if exploration.kind == "epsilon":
            assert expected == pytest.approx(0.3)
        choices = [choose(model, "mesc", 1, exploration, str(number)) for number in range(4_000)]
        share = sum(choice.explored for choice in choices) / len(choices)
        assert share == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / len(choices)) + 1e-12)


@pytest.mark.parametrize(
    ("level", "exploration"),
    [(pb.RISK_LEVEL_NONE, "epsilon=0.1"), (pb.RISK_LEVEL_LOW, "none"), (pb.RISK_LEVEL_ELEVATED, "none"),
     (pb.RISK_LEVEL_IMMINENT, "none"), (pb.RISK_LEVEL_UNSCREENED, "none"), (pb.RISK_LEVEL_UNSPECIFIED, "none")],
)  # fmt: skip
def test_nothing_is_explored_at_any_risk(level: pb.RiskLevel, exploration: str) -> None:
    assert POLICY.exploration_at(level).name == exploration


def test_draws_follow_the_distribution_and_their_seed() -> None:
    distribution = {"a": 0.7, "b": 0.2, "c": 0.1}
    drawn = [draw(distribution, f"v\nt/c/u{number}") for number in range(4_000)]
    assert drawn == [draw(distribution, f"v\nt/c/u{number}") for number in range(4_000)]
    for label, p in distribution.items():
        assert drawn.count(label) / len(drawn) == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / len(drawn)))
    assert draw({"a": 0.3, "b": 0.3}, "x") in {"a", "b"}, "a sum below 1 still gives a label"


def test_the_propensity_is_that_of_the_logged_distribution() -> None:
    model = {name: (0.91 if name == "approval" else 0.01) for name in MESC_STRATEGIES}
    choices = [choose(model, "mesc", 3, Exploration("epsilon", 0.1), str(number)) for number in range(300)]
    assert len({choice.chosen for choice in choices}) > 3
    for choice in choices:
        assert choice.propensity == choice.strategy[choice.chosen] >= 0.1 / len(choice.strategy)


def test_the_policy_s_name_tells_its_parts_apart() -> None:
    names = {
        policy.version(version)
        for policy in (
            POLICY,
            replace(POLICY, taxonomy="esconv"),
            replace(POLICY, exploration=Exploration("epsilon", 0.2)),
            replace(POLICY, model_sha256="0" * 64),
        )
        for version in ("1", "2")
    }
    assert len(names) == 8
    assert "abababababab" in POLICY.version("1")


# --- perception ------------------------------------------------------------------------------------------------------


def test_vectors_that_do_not_fit_are_left_out() -> None:
    made = pb.Features(embeddings=[embedding(TEXT), embedding(AUDIO, width=5), embedding(VIDEO, value=float("nan"))])
    sight = see(made)
    assert set(sight.vectors) == {TEXT}
    assert set(sight.unusable) == {AUDIO, VIDEO}
    broken = embedding(TEXT)
    del broken.shape[:]
    broken.shape.extend([3, 3])
    assert see(pb.Features(embeddings=[broken])).unusable == (TEXT,)


def test_the_model_s_question() -> None:
    told = history([PastTurn(own=False, done="approval")], 3)
    inputs = question(see(pb.Features(embeddings=[embedding(AUDIO, 0.5)])), told)
    assert {name: array.shape for name, array in inputs.items()} == {
        "text": (1, 384), "audio": (1, 256), "video": (1, 512), "present": (1, 3),
        "past": (1, 12, 384), "marks": (1, 12, 20), "step": (1, 1),
    }  # fmt: skip
    assert all(array.dtype == np.float32 for array in inputs.values())
    assert inputs["present"].tolist() == [[0, 1, 0]]
    assert inputs["audio"][0, 0] == 0.5
    assert not inputs["text"].any()
    assert inputs["marks"][0].tolist() == told.marks.tolist()


def test_the_answer_becomes_distributions_by_label() -> None:
    stage = np.array([[0.2, 0.7, 0.1]], np.float32)
    found = perceive(outputs(stage=stage), "3", see(pb.Features(embeddings=[embedding(TEXT)])), "esconv")
    assert found.stage == STAGES[1]
    assert set(found.strategy) == set(ESCONV_STRATEGIES)
    assert set(found.by_modality) == {TEXT}, "a modality that was not there has no emotion"
    assert found.intensity == 0.25
    for distribution in (found.emotion, found.strategy, found.system_emotion, found.by_modality[TEXT]):
        assert math.fsum(distribution.values()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("emotion", np.full((1, 7), 1 / 7)), ("emotion", np.full((1, 8), np.nan)), ("emotion", np.full((1, 8), 0.5)),
        ("strategy_mesc", np.array([[1.5, -0.5, *[0.0] * 8]])), ("modality_emotion", np.full((1, 2, 8), 1 / 8)),
        ("intensity", np.array([[np.inf]])), ("stage", np.full((3,), 1 / 3)),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_is_refused(name: str, array: np.ndarray) -> None:
    with pytest.raises(UnusableAnswerError, match=name):
        perceive(outputs(**{name: array}), "3", see(pb.Features(embeddings=[embedding(TEXT)])), "mesc")
    missing = outputs()
    del missing[name]
    with pytest.raises(UnusableAnswerError, match="shape None"):
        perceive(missing, "3", see(pb.Features()), "mesc")


# --- decision --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "text", "modalities", "expected"),
    [
        (pb.RISK_LEVEL_NONE, "words", [TEXT], pb.OVERRIDE_NONE),
        (pb.RISK_LEVEL_LOW, "words", [TEXT], pb.OVERRIDE_NONE),
        (pb.RISK_LEVEL_NONE, "words", [], pb.OVERRIDE_NONE),
        (pb.RISK_LEVEL_NONE, "", [VIDEO], pb.OVERRIDE_NONE),
        (pb.RISK_LEVEL_NONE, " ", [], pb.OVERRIDE_NO_INPUT),
        (pb.RISK_LEVEL_ELEVATED, "words", [TEXT], pb.OVERRIDE_CRISIS),
        (pb.RISK_LEVEL_IMMINENT, "", [], pb.OVERRIDE_CRISIS),
        (pb.RISK_LEVEL_UNSCREENED, "words", [TEXT], pb.OVERRIDE_UNSCREENED),
        (pb.RISK_LEVEL_UNSPECIFIED, "words", [TEXT], pb.OVERRIDE_UNSCREENED),
        (None, "words", [TEXT], pb.OVERRIDE_UNSCREENED),
        (None, "", [], pb.OVERRIDE_UNSCREENED),
    ],
)
def test_overrides(level: pb.RiskLevel | None, text: str, modalities: list[pb.Modality], expected: pb.Override) -> None:
    made = features("u", text, *modalities, level=level)
    if not modalities:
        del made.embeddings[:]
    assert override_of(made, see(made)) == expected


def test_a_decision_holds_what_was_perceived_and_chosen() -> None:
    made = features("u", "x" * 500, TEXT, AUDIO)
    made.missing.add(modality=VIDEO, reason=pb.MISSING_REASON_NO_FACE)
    sight = see(made)
    found = decide(made, sight, perception(), None, override=pb.OVERRIDE_NONE, policy=POLICY, kept=KEPT)
    assert found.propensity == {item.label: item.p for item in found.strategy}[found.chosen]
    assert math.fsum(item.p for item in found.strategy) == pytest.approx(1, abs=1e-12)
    assert found.policy_version == POLICY.version("3")
    assert (found.step, found.stage, found.screening.level) == (0, "comforting", pb.RISK_LEVEL_NONE)
    assert [item.reason for item in found.missing] == [pb.MISSING_REASON_NO_FACE]
    assert {item.name: item.version for item in found.models} == {
        "text_encoder": "7", "audio_encoder": "7", "fusion": "3",
    }  # fmt: skip
    assert len(found.dialogue) == 1
    assert len(found.dialogue[0].text) == KEPT.chars
    assert found.dialogue[0].label == found.user_emotion[0].label
    assert found.context == made.context


@pytest.mark.parametrize(
    "override", [pb.OVERRIDE_CRISIS, pb.OVERRIDE_UNSCREENED, pb.OVERRIDE_NO_INPUT, pb.OVERRIDE_MODEL_UNAVAILABLE]
)
def test_an_overridden_decision_has_no_choice(override: pb.Override) -> None:
    made = features()
    found = decide(made, see(made), perception(), None, override=override, policy=POLICY, kept=KEPT)
    assert (found.chosen, found.propensity) == ("", 0.0)
    assert found.strategy
    assert found.user_emotion
    blind = decide(made, see(made), None, None, override=override, policy=POLICY, kept=KEPT)
    assert (len(blind.strategy), len(blind.user_emotion), blind.stage) == (0, 0, "")
    assert ":-@" in blind.policy_version
    assert blind.dialogue[-1].text == "words"


def test_a_vector_that_does_not_fit_is_told_as_missing() -> None:
    made = features()
    made.embeddings.append(embedding(AUDIO, width=3))
    found = decide(made, see(made), perception(), None, override=pb.OVERRIDE_NONE, policy=POLICY, kept=KEPT)
    assert [(item.modality, item.reason) for item in found.missing] == [(AUDIO, pb.MISSING_REASON_MODEL_UNAVAILABLE)]


# --- conversation ----------------------------------------------------------------------------------------------------


def decision(utterance: str, state: pb.Conversation | None, text: str = "words") -> pb.Decision:
    made = features(utterance, text)
    return decide(made, see(made), perception(), state, override=pb.OVERRIDE_NONE, policy=POLICY, kept=KEPT)


def said(state: pb.Conversation | None) -> list[tuple[str, str]]:
    return [] if state is None else [("PS"[turn.role - 1], turn.utterance_id) for turn in state.turns]


def test_a_conversation_grows_turn_by_turn() -> None:
    state = after_decision(None, decision("u0", None), 6)
    state = after_reply(state, reply("u0"), 6, 100)
    first = decision("u1", state)
    assert first.step == 1
    assert [(turn.role, turn.utterance_id) for turn in first.dialogue] == [
        (pb.ROLE_USER, "u0"), (pb.ROLE_SYSTEM, "u0"), (pb.ROLE_USER, "u1"),
    ]  # fmt: skip
    state = after_decision(state, first, 6)
    assert state is not None
    assert state.steps == 2
    assert state.turns[-1].emotion == first.user_emotion
    assert not any(turn.vector or turn.emotion for turn in first.dialogue[:-1]), "what the state knows goes no further"
    assert said(state) == [("P", "u0"), ("S", "u0"), ("P", "u1")]
    told = history_of(state)
    assert told.step == np.float32(0.1)
    assert told.marks[-3:, :2].tolist() == [[1, 0], [0, 1], [1, 0]]
    assert told.marks[-1, FELT] == pytest.approx([item.p for item in first.user_emotion])
    assert told.marks[-2, DONE][MESC_STRATEGIES.index("restatement")] == 1
    assert told.past[-1] == pytest.approx(np.full(WIDTH, 0.1), abs=1e-4), "half precision"
    assert not told.past[-2].any(), "the reply's words were not embedded"


def test_the_words_of_a_reply_are_remembered_with_it() -> None:
    state = after_decision(None, decision("u0", None), 6)
    words = np.linspace(-1, 1, WIDTH).astype(np.float32)
    state = after_reply(state, reply("u0"), 6, 100, packed(words))
    assert history_of(state).past[-1] == pytest.approx(words, abs=1e-3)


def test_a_vector_that_is_none_is_not_known() -> None:
    state = after_decision(None, decision("u0", None), 6)
    assert state is not None
    for broken in (b"", b"\0" * (2 * WIDTH - 1), b"\0" * 4 * WIDTH, np.full(WIDTH, np.nan, "<f2").tobytes()):
        state.turns[0].vector = broken
        told = history_of(state)
        assert not told.past.any()
        assert told.marks[-1, 0] == 1, "that there was a turn is known"
    assert packed(np.full(WIDTH, 1e9, np.float32)) == np.full(WIDTH, 65504, "<f2").tobytes()


def test_the_same_record_twice_changes_nothing() -> None:
    one = decision("u0", None)
    state = after_decision(None, one, 6)
    assert after_decision(state, one, 6) is None
    answered = after_reply(state, reply("u0"), 6, 100)
    assert after_reply(answered, reply("u0"), 6, 100) is None


def test_replies_find_their_place_whenever_they_come() -> None:
    early = after_reply(None, reply("u0"), 6, 100)
    assert early is not None
    assert early.steps == 0
    assert not history_of(early).marks.any(), "a reply alone is no turn of the person"
    one = decision("u0", early)
    assert [turn.role for turn in one.dialogue] == [pb.ROLE_USER], "the answer to it is not part of what came before"
    state = after_decision(early, one, 6)
    assert said(state) == [("P", "u0"), ("S", "u0")]
    state = after_decision(state, decision("u1", state), 6)
    state = after_decision(state, decision("u2", state), 6)
    state = after_reply(state, reply("u1"), 6, 100)
    assert said(state) == [("P", "u0"), ("S", "u0"), ("P", "u1"), ("S", "u1"), ("P", "u2")]


def test_many_early_replies_push_nothing_out_and_are_no_part_of_what_was_said() -> None:
    state = after_reply(after_decision(None, decision("u0", None), 6), reply("u0"), 6, 100)
    for number in range(1, 30):
        state = after_reply(state, reply(f"u{number}"), 6, 100)
    assert said(state)[:2] == [("P", "u0"), ("S", "u0")]
    assert state is not None
    assert len(state.turns) < 12
    later = decision("u28", state)
    assert [turn.utterance_id for turn in later.dialogue] == ["u0", "u0", "u28"]
    state = after_decision(state, later, 6)
    assert said(state)[:4] == [("P", "u0"), ("S", "u0"), ("P", "u28"), ("S", "u28")]
    assert ("S", "u29") in said(state)


def test_an_utterance_leaves_with_its_answer() -> None:
    state = None
    for number in range(2):
        state = after_decision(state, decision(f"u{number}", state), 3)
        state = after_reply(state, reply(f"u{number}"), 3, 100)
    assert said(state) == [("P", "u1"), ("S", "u1")], "an answer left behind would seem to be early"


def test_a_conversation_keeps_its_last_turns() -> None:
    state = None
    for number in range(9):
        state = after_decision(state, decision(f"u{number}", state), 6)
        state = after_reply(state, reply(f"u{number}", "y" * 300), 6, 100)
    assert said(state) == [(who, f"u{number}") for number in (6, 7, 8) for who in "PS"]
    assert state is not None
    assert state.steps == 9
    assert all(len(turn.text) <= 100 for turn in state.turns)
    assert len(decision("u9", state).dialogue) == 6


def test_a_decision_of_an_unknown_conversation_tells_what_came_before() -> None:
    state = after_reply(after_decision(None, decision("u0", None), 6), reply("u0"), 6, 100)
    later = decision("u1", state)
    rebuilt = after_decision(None, later, 6)
    assert rebuilt is not None
    assert said(rebuilt) == [("P", "u0"), ("S", "u0"), ("P", "u1")]
    assert rebuilt.steps == 2


def test_the_dialogue_is_cut_from_its_beginning() -> None:
    state = pb.Conversation(turns=[pb.Turn(role=pb.ROLE_USER, utterance_id=str(number)) for number in range(5)])
    kept = dialogue_with(state, pb.Turn(role=pb.ROLE_USER, utterance_id="now"), 3)
    assert [turn.utterance_id for turn in kept] == ["3", "4", "now"]


def test_long_words_keep_their_beginning_and_more_of_their_end() -> None:
    text = "".join(chr(ord("a") + number % 26) for number in range(1_000))
    cut = shortened(text, 90)
    assert len(cut) == 90
    head, tail = cut.split(" … ")
    assert text.startswith(head)
    assert text.endswith(tail)
    assert len(head) < len(tail)
    assert shortened("short", 90) == "short"


# --- memory ----------------------------------------------------------------------------------------------------------


def test_memory_forgets_the_longest_silent_beyond_its_budget() -> None:
    memory = Memory(10_000)
    for number in range(50):
        memory.put(str(number).encode(), pb.Conversation(context=context(), revision=1))
        memory.get(b"0")
    assert memory.held_bytes <= 10_000
    assert 10 < len(memory) < 50
    assert memory.forgotten == 50 - len(memory)
    assert memory.get(b"0") is not None
    assert memory.get(b"1") is None
    assert memory.get(b"49") is not None
    alone = Memory(1)
    alone.put(b"k", pb.Conversation(steps=1))
    assert len(alone) == 1, "what is at hand is not forgotten, whatever its size"


def test_memory_counts_what_it_holds() -> None:
    memory = Memory(1 << 20)
    memory.put(b"a", pb.Conversation(turns=[pb.Turn(text="x" * 1_000)], revision=1))
    large = memory.held_bytes
    memory.put(b"a", pb.Conversation(revision=2))
    assert memory.held_bytes < large - 900
    memory.put(b"a", pb.Conversation(turns=[pb.Turn(text="x" * 1_000)], revision=3))
    assert abs(memory.held_bytes - large) < 5


def test_an_older_record_does_not_replace_a_newer_one() -> None:
    memory = Memory(1 << 20)
    assert memory.put(b"k", pb.Conversation(steps=3, revision=7))
    assert not memory.put(b"k", pb.Conversation(steps=2, revision=6))
    assert memory.put(b"k", pb.Conversation(steps=4, revision=7)), "of two equal ones the one that comes last counts"
    found = memory.get(b"k")
    assert found is not None
    assert found.steps == 4


# --- what the log is told of the choice ------------------------------------------------------------------------------


def test_a_decision_says_what_the_policy_saw_and_what_could_be_chosen() -> None:
    made = features("u1", "words", pb.MODALITY_TEXT, level=pb.RISK_LEVEL_LOW)
    state = pb.Conversation(context=context("u0"), steps=1)
    for turn in (
        pb.Turn(role=pb.ROLE_USER, utterance_id="u0"),
        pb.Turn(role=pb.ROLE_SYSTEM, utterance_id="u0", label="approval"),
    ):
        state.turns.append(turn)
    found = decide(made, see(made), perception(), state, override=pb.OVERRIDE_NONE, policy=POLICY, kept=KEPT)
    assert found.state_version == "state-1:mesc"
    seen = dict(zip(names_of(found.state_version), found.state, strict=True))
    assert (seen["step"], seen["risk.low"], seen["present.text"], seen["present.audio"]) == (1.0, 1.0, 1.0, 0.0)
    assert (seen["last.approval"], seen["used.approval"], seen["last.restatement"]) == (1.0, 1.0, 0.0)
    assert sum(seen[f"model.{label}"] for label in MESC_STRATEGIES) == pytest.approx(1, abs=1e-6)
    assert sum(seen[f"emotion.{label}"] for label in EMOTIONS) == pytest.approx(1, abs=1e-6)
    assert sum(seen[f"stage.{label}"] for label in STAGES) == 1.0
    assert tuple(found.eligible) == eligible("mesc", 1)
    assert (found.exploration, found.explored) == ("none", False), "nothing is explored at a low risk"
    assert found.policy_sha256 == POLICY.sha256() != replace(POLICY, model_sha256="cd" * 32).sha256()
    assert [model.sha256.hex() for model in found.models if model.name == "fusion"] == [POLICY.model_sha256]


@pytest.mark.parametrize("version", ["state-2:mesc", "state-1:other", "", "state-1"])
def test_a_list_of_features_that_is_not_known_is_named(version: str) -> None:
    with pytest.raises(ValueError, match="known are state-1:mesc, state-1:esconv"):
        names_of(version)
