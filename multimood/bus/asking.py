"""Around kafka-python's clients, which are synchronous: what a command is told when the brokers do not do it."""

import asyncio
import contextlib
from collections.abc import Iterator

from kafka.errors import KafkaError

from multimood.bus.probe import why
from multimood.settings import KafkaSettings


@contextlib.contextmanager
def answers_of(settings: KafkaSettings, doing: str = "") -> Iterator[None]:
    """Raise UnavailableError instead of the client's errors, a RefusedError where the brokers refuse us.

    Asks them why, so not from within an event loop.
    """
    try:
        yield
    except (KafkaError, OSError) as error:
        raise asyncio.run(why(error, settings, doing)) from None
