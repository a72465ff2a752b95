"""What the responder makes of decisions, and that an utterance gets one reply whatever the model does."""

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from pydantic import ValidationError

from multimood import topics
from multimood.bus import Bus, Delivery, Event, Output, output
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import ConfigurationError, UnavailableError
from multimood.generation import Ask, Piece, RefusedError, Token
from multimood.taxonomy import ESCONV_STRATEGIES, MESC_STRATEGIES
from services.responder.agent import Responder, Texts
from services.responder.attempts import Attempt
from services.responder.plan import Generate, SayVetted, Silence, dialogue_of, plan_of, situation_of
from services.responder.replies import about, delta, seed_of
from services.responder.served import Chosen, Served
from services.responder.settings import ResponderSettings

pytestmark = pytest.mark.unit

TEXTS = Texts.load(ResponderSettings())
NONE, CRISIS = pb.Screening(level=pb.RISK_LEVEL_NONE), pb.Screening(level=pb.RISK_LEVEL_IMMINENT)
KIND = ["I ", "hear ", "you. ", "What ", "happened?"]


def context(utterance_id: str = "u", locale: str = "") -> pb.Context:
    return pb.Context(tenant="t", conversation_id="c", utterance_id=utterance_id, locale=locale)


def decision(utterance_id: str = "u", screening: pb.Screening | None = NONE, **fields: Any) -> pb.Decision:
    given = {
        "chosen": "open question", "propensity": 0.4, "stage": "exploration", "intensity": 0.5,
        "user_emotion": [pb.Probability(label="joy", p=0.2), pb.Probability(label="sadness", p=0.8)],
        "dialogue": [
            pb.Turn(role=pb.ROLE_USER, text="hello"), pb.Turn(role=pb.ROLE_SYSTEM, text="hi, what is it?"),
            pb.Turn(role=pb.ROLE_USER, text="zq I failed"),
        ],
        "hops": [pb.Hop(service="strategist")], "screening": screening, **fields,
    }  # fmt: skip
    return pb.Decision(context=context(utterance_id), **given)


def event(message: Message, topic: topics.Topic = topics.DECISION) -> Event[Message]:
    return Event(topic, message, output(topic, message).id, b"t/c", "", time.time_ns() // 1000)


class Model:
    """A generator with a script: texts are written, exceptions raised, numbers waited for."""

    name = "test-model"

    def __init__(self, *scripts: Sequence[str | float | Exception], finish: str = "stop") -> None:
        self.scripts = scripts or (KIND,)
        self.finish = finish
        self.asks: list[Ask] = []
        self.running = self.most_running = 0
        self.left_early = 0

    async def stream(self, ask: Ask) -> AsyncGenerator[Piece, None]:
        script = self.scripts[min(len(self.asks), len(self.scripts) - 1)]
        self.asks.append(ask)
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        count = 0
        try:
            for step in script:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, float):
                    await asyncio.sleep(step)
                    continue
                count += 1
                yield Piece(step, "", 21, count, "v7")
                await asyncio.sleep(0)
            yield Piece("", self.finish, 21, count, "v7")
        except (GeneratorExit, asyncio.CancelledError):
            self.left_early += 1
            raise
        finally:
            self.running -= 1

    async def ready(self) -> bool:
        return True

    async def close(self) -> None:
        pass


class Wire:
    """The bus as the responder sees it; each output takes `round_trip_s`."""

    def __init__(self, round_trip_s: float = 0.0) -> None:
        self.outputs: list[Output] = []
        self.round_trip_s = round_trip_s
        self.after: Callable[[Output], None] = lambda _: None

    async def emit(self, outputs: Sequence[Output], _traceparent: str) -> None:
        for out in outputs:
            await asyncio.sleep(self.round_trip_s)
            self.outputs.append(out)
            self.after(out)

    async def dead_letter(self, _delivery: Delivery, error: BaseException, _attempts: int) -> None:
        raise AssertionError(f"nothing may be dead-lettered: {type(error).__name__}")

    @property
    def pieces(self) -> list[pb.ReplyDelta]:
        return [out.message for out in self.outputs if out.topic is topics.REPLY_DELTA]

    @property
    def replies(self) -> list[pb.Reply]:
        return [out.message for out in self.outputs if out.topic is topics.REPLY]


def responder(wire: Wire, model: Model, **settings: Any) -> Responder:
    bus = Bus(wire.emit, wire.dead_letter)
    return Responder(bus, Served(model), TEXTS, ResponderSettings(**settings))


async def answer(wire: Wire, model: Model, message: pb.Decision, **settings: Any) -> pb.Reply | None:
    """Handle a decision as the bus does; gives the reply."""
    outputs = await responder(wire, model, **settings).handle(event(message))
    await wire.emit(outputs, "")
    if not wire.replies:
        return None
    (reply,) = wire.replies
    assert wire.outputs[-1].message is reply
    assert [hop.service for hop in reply.hops] == ["responder"]
    assert reply.context == message.context
    assert wire.outputs[-1].id == output(topics.REPLY, message).id
    return reply


# --- plan ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("override", [*pb.Override.values(), 99])
@pytest.mark.parametrize("level", [None, *pb.RiskLevel.values(), 99])
@pytest.mark.parametrize("held", [False, True])
def test_nothing_is_generated_without_a_verdict_that_allows_it(override: int, level: int | None, *, held: bool) -> None:
    screening = None if level is None else pb.Screening(level=level, held=held)
    plan = plan_of(decision(screening=screening, override=override))
    allowed = override == pb.OVERRIDE_NONE and level in {pb.RISK_LEVEL_NONE, pb.RISK_LEVEL_LOW} and not held
    crisis = override == pb.OVERRIDE_CRISIS or level in {pb.RISK_LEVEL_ELEVATED, pb.RISK_LEVEL_IMMINENT}
    assert isinstance(plan, Generate) == allowed
    assert isinstance(plan, Silence) == crisis
    assert isinstance(plan, SayVetted) == (not allowed and not crisis)


def test_what_the_prompt_is_told() -> None:
    situation = situation_of(decision())
    assert (situation.emotion, situation.emotion_p) == ("sadness", 0.8)
    assert (situation.strategy, situation.stage) == ("open question", "exploration")
    assert situation_of(pb.Decision()).emotion == ""
    assert [turn.role for turn in dialogue_of(decision())] == ["user", "assistant", "user"]


@pytest.mark.parametrize("strategy", [*MESC_STRATEGIES, *ESCONV_STRATEGIES])
async def test_every_strategy_can_be_followed(strategy: str) -> None:
    reply = await answer(Wire(), Model(), decision(chosen=strategy))
    assert reply is not None
    assert reply.strategy == strategy


# --- generated -----------------------------------------------------------------------------------------------------


async def test_a_generated_reply_and_its_pieces() -> None:
    wire, model = Wire(), Model()
    reply = await answer(wire, model, decision())
    assert reply is not None
    assert reply.text == "I hear you. What happened?"
    assert "".join(piece.text for piece in wire.pieces) == reply.text
    assert [piece.index for piece in wire.pieces] == list(range(len(wire.pieces)))
    assert len({piece.attempt for piece in wire.pieces}) == 1
    assert len({out.id for out in wire.outputs}) == len(wire.outputs)
    assert (reply.source, reply.reason, reply.vetted_id) == (pb.REPLY_SOURCE_GENERATED, "", "")
    assert (reply.model_name, reply.model_version) == ("test-model", "v7")
    assert (reply.prompt_tokens, reply.completion_tokens) == (21, 5)
    assert (reply.prompt_version, reply.prompt_sha256) == (TEXTS.prompt.version, model.asks[0].sha256())
    assert 0 < reply.first_token_us < 5_000_000
    (ask,) = model.asks
    assert [message.role for message in ask.messages] == ["system", "user", "assistant", "user"]
    assert ask.messages[-1].content == "zq I failed"


async def test_a_replay_asks_the_same_again_under_another_attempt() -> None:
    wires, model = (Wire(), Wire()), Model()
    for wire in wires:
        await answer(wire, model, decision())
    assert model.asks[0] == model.asks[1]
    assert wires[0].pieces[0].attempt != wires[1].pieces[0].attempt
    assert seed_of(context("u")) != seed_of(context("v"))
    assert 0 <= seed_of(context("u")) < 1 << 31


async def test_a_slow_broker_does_not_slow_the_model_down() -> None:
    tokens = [f"{chr(97 + number // 8)}o{chr(97 + number % 8)}um " for number in range(60)]
    steps = list(itertools.chain.from_iterable((token, 0.005) for token in tokens))
    wire = Wire(round_trip_s=0.05)
    started = time.monotonic()
    reply = await answer(wire, Model(steps), decision(), max_tokens=200)
    spent = time.monotonic() - started
    assert reply is not None
    assert "".join(piece.text for piece in wire.pieces) == reply.text
    assert 3 <= len(wire.pieces) <= 15, "what gathers leaves together"
    assert spent < 60 * 0.05 / 2


async def test_the_first_word_leaves_while_the_model_writes() -> None:
    wire = Wire()
    started = time.monotonic()
    at: list[float] = []
    wire.after = lambda _: at.append(time.monotonic() - started)
    await answer(wire, Model(["I ", "hear ", "you", 0.5, "."]), decision())
    assert at[0] < 0.2
    assert at[-1] >= 0.5


async def test_the_models_time_is_told_apart() -> None:
    reply = await answer(Wire(round_trip_s=0.1), Model(["I ", "hear ", 0.3, "you."]), decision())
    assert reply is not None
    (hop,) = reply.hops
    assert 290_000 < hop.model_us < 600_000
    assert hop.model_us <= hop.produced_at_us - hop.received_at_us


async def test_enough_sentences_end_it() -> None:
    model = Model(["One thing. ", "Two things. ", "Three things. ", "Four things. "] * 5)
    reply = await answer(Wire(), model, decision())
    assert reply is not None
    assert reply.text == "One thing. Two things. Three things."
    assert model.left_early == 1


async def test_at_the_last_token_the_fragment_is_dropped() -> None:
    wire = Wire()
    model = Model(["I", " hear", " you", ".", " Tell", " me", " more", " about", " what"], finish="length")
    reply = await answer(wire, model, decision(), max_tokens=9)
    assert reply is not None
    assert reply.text == "I hear you."
    assert "".join(piece.text for piece in wire.pieces) == reply.text


# --- refused by the guard ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokens", "reason", "never"),
    [
        ("I hear you . You should kill yourself and then rest", "encourages_harm", "kill"),
        ("Call my friend at +1 555 123 4567 right now please", "unverified_contact", "555"),
        ("I am here . I want to kill myself too , so much", "speaks_as_in_crisis", "myself"),
    ],
)
async def test_what_the_guard_refuses_never_leaves(tokens: str, reason: str, never: str) -> None:
    wire, model = Wire(), Model([f" {token}" for token in tokens.split()] + [5.0, " more"])
    started = time.monotonic()
    reply = await answer(wire, model, decision())
    assert time.monotonic() - started < 2, "the model was stopped at once"
    assert reply is not None
    assert (reply.source, reply.reason) == (pb.REPLY_SOURCE_VETTED_FALLBACK, reason)
    assert reply.text == TEXTS.replies.reply("unavailable").text
    assert reply.vetted_id == f"en.unavailable@{TEXTS.replies.version}"
    assert reply.strategy == ""
    assert (reply.model_name, reply.prompt_version) == ("test-model", TEXTS.prompt.version), "whom to blame"
    assert never not in "".join(piece.text for piece in wire.pieces)
    assert model.running == 0


@pytest.mark.parametrize(("script", "reason"), [([], "empty"), (["...", " 1."], "empty"), (["die"], None)])
async def test_the_last_look_is_at_the_whole(script: list[str], reason: str | None) -> None:
    reply = await answer(Wire(), Model(script), decision())
    assert reply is not None
    assert reply.reason == (reason or "")


async def test_an_operators_own_rules_count(tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(
        'edition = "2026.11"\n[[rules]]\nid = "en.own"\nkind = "toxic"\nsevere = false\nnegatable = false\n'
        'phrases = ["hear you"]\n'
    )
    wire = Wire()
    own = Texts.load(ResponderSettings(reply_rules=rules))
    made = Responder(Bus(wire.emit, wire.dead_letter), Served(Model()), own, ResponderSettings())
    (*_, last) = await made.handle(event(decision()))
    assert last.message.reason == "toxic"


# --- the model fails -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ([UnavailableError("gone")], "model_unavailable"),
        ([5.0], "model_unavailable"),
        (["I ", "hear ", 5.0], "model_unavailable"),
        (["I ", "hear ", UnavailableError("gone")], "model_unavailable"),
        ([RefusedError("no")], "model_refused"),
        ([ConfigurationError("wrong key")], "model_refused"),
    ],
)
async def test_without_the_model_the_reply_is_a_vetted_one(script: list[Any], reason: str) -> None:
    started = time.monotonic()
    reply = await answer(Wire(), Model(script), decision(), first_token_s=0.2, whole_s=0.4)
    assert time.monotonic() - started < 2
    assert reply is not None
    assert (reply.source, reply.reason) == (pb.REPLY_SOURCE_VETTED_FALLBACK, reason)


async def test_what_works_at_the_second_time_is_used() -> None:
    model = Model([UnavailableError("gone")], KIND)
    reply = await answer(Wire(), model, decision())
    assert reply is not None
    assert reply.source == pb.REPLY_SOURCE_GENERATED
    assert len(model.asks) == 2


@pytest.mark.parametrize("end", [UnavailableError("gone"), 5.0])
async def test_finished_sentences_survive_the_model(end: float | Exception) -> None:
    wire = Wire()
    reply = await answer(wire, Model(["I hear you. ", "That so", end]), decision(), whole_s=0.3)
    assert reply is not None
    assert (reply.source, reply.text) == (pb.REPLY_SOURCE_GENERATED, "I hear you.")
    assert "".join(piece.text for piece in wire.pieces) == reply.text


# --- overrides -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "kind", "reason"),
    [
        (pb.OVERRIDE_UNSCREENED, "unscreened", "unscreened"),
        (pb.OVERRIDE_NO_INPUT, "unscreened", "no_input"),
        (pb.OVERRIDE_MODEL_UNAVAILABLE, "unavailable", "model_unavailable"),
        (pb.OVERRIDE_ESCALATED, "escalated", "escalated"),
        (pb.OVERRIDE_EVIDENCE, "elevated", "evidence"),
        (77, "unavailable", "unknown_override"),
    ],
)
async def test_overrides_get_their_vetted_text(override: int, kind: Any, reason: str) -> None:
    message, model = decision(override=override), Model()
    message.context.locale = "de-AT"
    reply = await answer(Wire(), model, message)
    assert reply is not None
    assert (reply.text, reply.reason) == (TEXTS.replies.reply(kind, "de-AT").text, reason)
    assert not model.asks


@pytest.mark.parametrize("override", [pb.OVERRIDE_NONE, pb.OVERRIDE_MODEL_UNAVAILABLE])
@pytest.mark.parametrize(
    ("level", "kind"),
    [(pb.RISK_LEVEL_NONE, "unavailable"), (pb.RISK_LEVEL_LOW, "low")],
)
async def test_without_a_model_low_risk_is_not_left_without_help(override: int, level: int, kind: Any) -> None:
    message = decision(screening=pb.Screening(level=level, version="v"), override=override)
    reply = await answer(Wire(), Model([]), message)
    assert reply is not None
    assert reply.text == TEXTS.replies.reply(kind).text


async def test_a_text_that_the_sentinel_has_said_is_not_said_again() -> None:
    first, second, *_ = TEXTS.replies.all("escalated")
    said = pb.Reply(context=decision().context, vetted_id=f"{first.id}@v")
    said.context.utterance_id = "before"
    wire = Wire()
    it = responder(wire, Model())
    it.learn(Event(topics.REPLY, said, output(topics.REPLY, said).id, b"t/c", "", 0))
    (out,) = await it.handle(event(decision(override=pb.OVERRIDE_ESCALATED)))
    assert out.message.vetted_id.split("@")[0] == second.id


async def test_a_crisis_is_the_sentinels() -> None:
    for message in (decision(override=pb.OVERRIDE_CRISIS), decision(screening=CRISIS)):
        assert await answer(Wire(), Model(), message) is None


# --- one reply only ------------------------------------------------------------------------------------------------


async def test_a_reply_by_another_ends_ours() -> None:
    wire, model = Wire(), Model(["I ", "hear ", "you ", "and ", "I ", "care ", 5.0])
    made = responder(wire, model)
    theirs = pb.Reply(context=context(), text="vetted", source=pb.REPLY_SOURCE_VETTED_CRISIS)
    wire.after = lambda _: made.learn(event(theirs, topics.REPLY))
    assert await made.handle(event(decision())) == ()
    assert len(wire.pieces) == 1
    assert model.running == 0


async def test_a_reply_by_another_while_nothing_can_leave_ends_ours_too() -> None:
    wire, model = Wire(), Model([0.2, "Yes."])
    made = responder(wire, model)
    handling = asyncio.create_task(made.handle(event(decision())))
    await asyncio.sleep(0.1)
    made.learn(event(pb.Reply(context=context()), topics.REPLY))
    assert await handling == ()
    assert wire.outputs == []


# --- many at once --------------------------------------------------------------------------------------------------


async def test_the_model_has_no_more_to_do_than_it_has_slots() -> None:
    wire, model = Wire(), Model([0.02, *KIND])
    made = responder(wire, model, generations=2)
    handled = await asyncio.gather(*(made.handle(event(decision(str(number)))) for number in range(10)))
    assert model.most_running == 2
    assert all(outputs[-1].message.source == pb.REPLY_SOURCE_GENERATED for outputs in handled)


async def test_nobody_waits_for_ever_for_a_slot() -> None:
    wire, model = Wire(), Model([0.5, *KIND])
    made = responder(wire, model, generations=1, queue_s=0.1)
    first = asyncio.create_task(made.handle(event(decision("first"))))
    await asyncio.sleep(0.01)
    started = time.monotonic()
    (second,) = await made.handle(event(decision("second")))
    assert time.monotonic() - started < 0.3
    assert second.message.reason == "overloaded"
    (vetted,) = await made.handle(event(decision("third", override=pb.OVERRIDE_UNSCREENED)))
    assert vetted.message.reason == "unscreened", "what needs no model does not wait for it"
    assert (await first)[-1].message.source == pb.REPLY_SOURCE_GENERATED
    late = event(decision("late"))
    old = Event(late.topic, late.message, late.id, late.key, "", late.received_at_us - 60_000_000)
    assert (await made.handle(old))[-1].message.source == pb.REPLY_SOURCE_GENERATED, "late, but there is room"


async def test_cancelled_it_leaves_nothing_running() -> None:
    wire, model = Wire(round_trip_s=5.0), Model(["I ", "hear ", "you ", 5.0])
    made = responder(wire, model, generations=1)
    handling = asyncio.create_task(made.handle(event(decision())))
    await asyncio.sleep(0.05)
    before = asyncio.all_tasks()
    handling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handling
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) < len(before)
    assert model.running == 0
    assert made._slots._value == 1


# --- settings ------------------------------------------------------------------------------------------------------


def test_an_endpoint_has_to_be_named() -> None:
    with pytest.raises(ValidationError, match="OPENAI_URL"):
        ResponderSettings(backend="openai")
    assert "secret" not in repr(ResponderSettings(openai_key="secret"))


def test_pieces_of_two_attempts_have_different_ids() -> None:
    assert delta(context(), "a", 0, "x").id != delta(context(), "b", 0, "x").id != delta(context(), "b", 1, "x").id


# --- tokens ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokens", "ids", "log_probs"),
    [
        ([Token(4, -0.5), Token(5, -1.0)], [4, 5], [-0.5, -1.0]),
        ([Token(4, -0.5), Token(None, -1.0)], [], [-0.5, -1.0]),
        ([Token(4, -0.5)] * 8_193, [], []),
        ([], [], []),
    ],
)
def test_the_reply_tells_the_tokens_that_are_known(tokens: list[Token], ids: list[int], log_probs: list[float]) -> None:
    attempt = Attempt(0)
    for token in tokens:
        attempt.progress.take(Piece("a", "", 1, 1, "m-1", [token]))
    made = about(Chosen(Model()), "p", Ask((), 8, 0.0, 1, 1.0), [attempt], attempt, received_at_us=0, texts=True)
    assert (list(made.token_ids), list(made.token_log_probs)) == (ids, log_probs)
