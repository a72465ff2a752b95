"""Events on the wire: the same in as out, the same id for the same thing, nothing malformed taken in or quoted."""

import pytest
from bus_fakes import CANARY, context
from hypothesis import given
from hypothesis import strategies as st

from multimood import topics
from multimood.bus.envelope import Event, decode, encode_headers, event_id, header, output
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import InvalidEventError
from multimood.topics import key_of

pytestmark = pytest.mark.unit

TRACE = f"00-{'a' * 32}-{'b' * 16}-01"
names = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="/"), min_size=1, max_size=20)


@given(tenant=names, conversation=names, utterance=names, text=st.text(max_size=50))
def test_what_goes_out_comes_in(tenant: str, conversation: str, utterance: str, text: str) -> None:
    about = pb.Context(tenant=tenant, conversation_id=conversation, utterance_id=utterance)
    out = output(topics.REPLY, pb.Reply(context=about, text=text))
    headers = encode_headers(out, "responder", TRACE)
    event = decode(topics.REPLY, out.message.SerializeToString(), headers, out.key, 7)
    for _ in range(2):  # it says the same when it was put away
        assert (event.topic, event.message, event.id) == (topics.REPLY, out.message, out.id)
        assert (event.key, event.traceparent) == (f"{tenant}/{conversation}".encode(), TRACE)
        assert event.received_at_us == 7
        event.put_away()


def test_an_event_that_was_made_of_no_record_keeps_its_message() -> None:
    event = Event(topics.REPLY, pb.Reply(text="x"), "", b"", "", 0)
    event.put_away()
    assert event.message.text == "x"


def test_headers_are_cloudevents_and_hold_no_content() -> None:
    out = output(topics.REPLY, pb.Reply(context=context(), text=CANARY))
    headers = dict(encode_headers(out, "responder"))
    assert headers["ce_specversion"] == b"1.0"
    assert headers["ce_type"] == b"multimood.reply.v1"
    assert headers["ce_source"] == b"/multimood/responder"
    assert headers["ce_subject"] == b"u"
    assert headers["ce_id"] == out.id.encode()
    assert headers["ce_time"].endswith(b"+00:00")
    assert "traceparent" not in headers
    assert all(CANARY.encode() not in value for value in headers.values())


def test_ids_are_the_same_for_the_same_thing_and_differ_for_any_other() -> None:
    ids = [
        output(topics.REPLY, pb.Reply(context=context())).id,
        output(topics.DECISION, pb.Decision(context=context())).id,
        output(topics.REPLY, pb.Reply(context=context(utterance="other"))).id,
        output(topics.REPLY, pb.Reply(context=context(conversation="other"))).id,
        output(topics.REPLY, pb.Reply(context=context(tenant="other"))).id,
        output(topics.REPLY, pb.Reply(context=context()), part="1").id,
    ]
    assert len(set(ids)) == len(ids)
    assert output(topics.REPLY, pb.Reply(context=context(), text="changed")).id == ids[0]
    # Written down: another release must give the same ids, or what was answered is answered again.
    assert event_id("t/c/u", topics.REPLY) == ids[0] == "af3b8044-c557-5494-b7a0-fa01a05788a3"


GOOD = pb.Utterance(context=context(), text=CANARY)
TYPE = ("ce_type", topics.UTTERANCE.name.encode())


@pytest.mark.parametrize(
    ("value", "key", "headers", "fault"),
    [
        (None, b"t/c", (), "has no value"),
        (b"\xff\xff" + CANARY.encode(), b"t/c", (), "is no multimood.v1.Utterance"),
        (b"x" * ((1 << 20) + 1), b"t/c", (), "has 1048577 bytes; at most 1048576"),
        (GOOD.SerializeToString(), b"t/c", [("ce_type", b"multimood.reply.v1")], "declares another type"),
        (GOOD.SerializeToString(), b"t/other", (), "has a key that is not its"),
        (GOOD.SerializeToString(), None, (), "has a key that is not its"),
        (b"", b"/", (), "no valid context.tenant"),
        (pb.Utterance(context=context(tenant="")).SerializeToString(), b"/c", (), "no valid context.tenant"),
        (pb.Utterance(context=context(tenant="a/b")).SerializeToString(), b"a/b/c", (), "no valid context.tenant"),
        (pb.Utterance(context=context(conversation="c\n")).SerializeToString(), b"t/c\n", (), "conversation_id"),
        (pb.Utterance(context=context(utterance="u" * 257)).SerializeToString(), b"t/c", (), "context.utterance_id"),
    ],
)  # fmt: skip
def test_what_is_malformed_is_refused_and_not_quoted(
    value: bytes | None, key: bytes | None, headers: list[tuple[str, bytes]], fault: str
) -> None:
    with pytest.raises(InvalidEventError) as caught:
        decode(topics.UTTERANCE, value, headers, key, 0)
    assert fault in str(caught.value)
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None
    assert not caught.value.retryable


some_headers = st.lists(st.tuples(st.text(max_size=12), st.none() | st.binary(max_size=40)), max_size=4)


@given(value=st.binary(max_size=200), key=st.none() | st.binary(max_size=10), headers=st.none() | some_headers)
def test_any_bytes_are_an_event_or_refused(
    value: bytes, key: bytes | None, headers: list[tuple[str, bytes | None]] | None
) -> None:
    try:
        event = decode(topics.UTTERANCE, value, headers, key, 0)
    except InvalidEventError:
        return
    assert event.key == key == key_of(event.message.context)  # type: ignore[attr-defined]


def test_an_event_from_outside_needs_no_attributes() -> None:
    event = decode(topics.UTTERANCE, GOOD.SerializeToString(), None, b"t/c", 0)
    assert (event.id, event.traceparent) == (output(topics.UTTERANCE, GOOD).id, "")


@pytest.mark.parametrize("forged", [CANARY, "00-" + "0" * 32 + "-" + "b" * 16 + "-01", TRACE + "x", TRACE.upper()])
def test_nothing_but_a_trace_is_handed_on_as_one(forged: str) -> None:
    headers = [TYPE, ("traceparent", forged.encode())]
    assert decode(topics.UTTERANCE, GOOD.SerializeToString(), headers, b"t/c", 0).traceparent == ""


@pytest.mark.parametrize("given_id", [b"", b"a\nb", b"x" * 300, b"\xff\xfe\x00"])
def test_an_id_that_is_none_is_replaced(given_id: bytes) -> None:
    event = decode(topics.UTTERANCE, GOOD.SerializeToString(), [("ce_id", given_id)], b"t/c", 0)
    assert event.id == output(topics.UTTERANCE, GOOD).id


def test_a_header_is_read_as_far_as_it_may_be() -> None:
    headers = [("a", None), ("a", b"\xff1"), ("b", b"x" * 5000), ("a", b"second")]
    assert header(headers, "a") == "\ufffd1"
    assert len(header(headers, "b")) == 1024
    assert header(headers, "c") == header(None, "a") == ""
