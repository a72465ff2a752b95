"""What a dead letter is made of, and what it never says."""

from types import SimpleNamespace
from typing import Any

import pytest
from bus_fakes import CANARY, Log

from multimood import topics
from multimood.bus.letters import Letter
from multimood.bus.outbox import Outbox
from multimood.errors import InvalidEventError, UnsendableError

pytestmark = pytest.mark.unit


class Sender:
    """Takes no more than it is told."""

    def __init__(self, most: int = 1 << 20) -> None:
        self.most = most
        self.sent: list[Any] = []

    async def send(self, topic: str, key: Any, value: Any, headers: Any, *, limit: int) -> None:
        if len(value or b"") > min(self.most, limit):
            raise UnsendableError("too large")
        self.sent.append(SimpleNamespace(topic=topic, partition=0, offset=0, key=key, value=value, headers=headers))


@pytest.mark.parametrize(("most", "whole"), [(1 << 20, True), (10, False)])
async def test_a_letter_that_is_too_large_becomes_a_note(most: int, whole: bool) -> None:
    sender = Sender(most)
    (delivery,) = Log(topics.UTTERANCE).raw(CANARY.encode() * 3, b"k" * (5 if whole else 5000)).deliveries()
    await Outbox("test", sender, 1 << 20).dead_letter(delivery, InvalidEventError("no tenant"), 1)
    (record,) = sender.sent
    letter = Letter.of(record)
    assert (letter.whole, record.value) == (whole, CANARY.encode() * 3 if whole else None)
    assert record.key == (b"k" * 5 if whole else None)
    assert (letter.service, letter.reason, letter.error) == ("test", "invalid_event", "no tenant")
    assert letter.origin.topic == topics.UTTERANCE.name


async def test_a_foreign_errors_text_is_not_in_the_letter() -> None:
    sender = Sender()
    (delivery,) = Log(topics.UTTERANCE).raw(b"x").deliveries()
    await Outbox("test", sender, 1 << 20).dead_letter(delivery, ValueError(CANARY), 3)
    letter = Letter.of(sender.sent[0])
    assert (letter.error, letter.reason, letter.attempts) == ("ValueError", "ValueError", 3)
