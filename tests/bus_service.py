"""A service for tests: answers what it reads, and fails as it is told. Run as `python -m bus_service`."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from google.protobuf.message import Message
from pydantic_settings import BaseSettings, SettingsConfigDict

from multimood.bus import Event, Handler, HopClock, Output, RetryPolicy, Worker, WorkerSettings, output, run_worker
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import InvalidMediaError, UnavailableError
from multimood.topics import HOUR_MS, Topic

SERVICE = "echo"


class EchoSettings(BaseSettings):
    """Of this service alone."""

    model_config = SettingsConfigDict(env_prefix="MULTIMOOD_ECHO_", use_attribute_docstrings=True)

    run: str
    """Names the topics, so that tests do not see each other's records."""
    retry_budget_s: float = 2.0
    concurrency: int = 16
    drain_s: float = 3.0


def topics_of(run: str) -> tuple[Topic, Topic]:
    """What it reads and what it writes."""
    return (
        Topic(f"test.{run}.said.v1", pb.Utterance, HOUR_MS, max_message_bytes=1 << 18),
        Topic(f"test.{run}.answered.v1", pb.Reply, HOUR_MS, max_message_bytes=1 << 17),
    )


class Echo:
    """The text says what happens to the utterance."""

    def __init__(self, answered: Topic) -> None:
        self._answered = answered
        self._attempts: Counter[str] = Counter()

    def answers(self, event: Event[Message]) -> str:
        """Id of the reply."""
        return output(self._answered, event.message).id

    async def handle(self, event: Event[Message]) -> Sequence[Output]:
        """Answer with the same text."""
        utterance = event.message
        assert isinstance(utterance, pb.Utterance)
        clock = HopClock.of(SERVICE, event)
        context = utterance.context
        kind, _, number = utterance.text.partition(":")
        self._attempts[context.utterance_id] += 1
        match kind:
            case "poison":
                raise ValueError(f"cannot cope with {utterance.text!r}")
            case "refuse":
                raise InvalidMediaError("the audio is no audio")
            case "flaky" if self._attempts[context.utterance_id] <= int(number):
                raise UnavailableError("the store did not answer")
            case "never" | "never at all":
                raise UnavailableError("the store never answers")
            case "slow":
                await asyncio.sleep(float(number))
            case "large":
                utterance.text = "x" * int(number)
        return (output(self._answered, pb.Reply(context=context, text=utterance.text, hops=[clock.hop()])),)

    async def give_up(self, event: Event[Message]) -> Sequence[Output]:
        """Answer without."""
        utterance = event.message
        assert isinstance(utterance, pb.Utterance)
        if utterance.text == "never at all":
            raise UnavailableError("nor is there anything else")
        return (output(self._answered, pb.Reply(context=utterance.context, reason="gave_up")),)


def make(settings: WorkerSettings) -> Worker:
    """Wire the service."""
    own = EchoSettings()
    said, answered = topics_of(own.run)
    echo = Echo(answered)
    return Worker(
        SERVICE,
        (said,),
        lambda bus: Handler(
            SERVICE,
            bus,
            echo.handle,
            owns=(said,),
            answers=echo.answers,
            recovers=((answered, 100),),
            on_exhausted=echo.give_up,
            concurrency=own.concurrency,
            retry=RetryPolicy(budget_s=own.retry_budget_s),
        ),
        settings=WorkerSettings(settings.kafka, settings.health, settings.telemetry, own.drain_s),
    )


if __name__ == "__main__":
    run_worker(SERVICE, "Says what it hears.", make, (EchoSettings,))
