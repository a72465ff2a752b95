"""The asynchronous client for platforms: one turn in, its outcome out.

async with Client("gateway:8443", api_key, tls=Tls()) as client:
    async for part in client.converse(TurnInput("conversation-1", text="...")):
        if part.HasField("delta"):
            ...
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NoReturn, Self

import grpc
import grpc.aio

from multimood.contracts.v1 import events_pb2 as pb
from multimood.contracts.v1 import gateway_pb2 as gw
from multimood.contracts.v1 import gateway_pb2_grpc
from multimood.errors import ConfigurationError, DeadlineExceededError, MultimoodError, UnavailableError

CHUNK_BYTES: Final = 256 << 10
CONNECT_S: Final = 10.0
Parts = Callable[[], AsyncIterator[gw.ConverseRequest]]


class GatewayRefusedError(MultimoodError):
    """The gateway refuses the call as it is; the message says what to change."""

    code = "refused"


class AuthenticationError(GatewayRefusedError):
    """The API key opens nothing."""

    code = "unauthenticated"


class OverLimitError(UnavailableError):
    """A limit of the tenant or the gateway is used up; `retry_after_s` later the same call may succeed."""

    code = "over_limit"

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Tls:
    """How to check the gateway's certificate, and which one to show."""

    authority: Path | None = None
    """PEM file; None: the system's authorities."""
    certificate: Path | None = None
    key: Path | None = None

    def credentials(self) -> Any:
        """Read the files. Raises ConfigurationError."""
        try:
            files = (self.authority, self.key, self.certificate)
            return grpc.ssl_channel_credentials(*(file.read_bytes() if file else None for file in files))
        except OSError as error:
            raise ConfigurationError(f"{error.filename} cannot be read: {error.strerror}") from None


def _new_id() -> str:
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class TurnInput:
    """What a person said in one turn: text, audio and video, at least one of them."""

    conversation_id: str
    text: str = ""
    audio: bytes = b""
    """A whole file (WAV, FLAC, MP3, Ogg, M4A, WebM, ...)."""
    video: bytes = b""
    """A whole file (MP4, MOV, WebM, Matroska, AVI)."""
    utterance_id: str = field(default_factory=_new_id)
    """Made here, so that sending the same turn again after a failure is never a second utterance."""
    locale: str = ""
    occurred_at_us: int = 0
    """Microseconds since the epoch; 0: now."""
    learning_consent: bool = False
    """Whether the turn may enter the experience log."""
    retention_class: str = ""
    subject: str = ""
    """The platform's name for the person, by which their data are erased; empty: the conversation stands for them."""

    def parts(self, *, wait_for_trust: bool = False) -> Parts:
        """Give the messages to send."""
        start = gw.TurnStart(
            conversation_id=self.conversation_id, utterance_id=self.utterance_id, text=self.text, locale=self.locale,
            privacy=pb.Privacy(learning_consent=self.learning_consent, retention_class=self.retention_class),
            occurred_at_us=self.occurred_at_us, audio=bool(self.audio), video=bool(self.video),
            wait_for_trust=wait_for_trust, subject=self.subject,
        )  # fmt: skip

        async def send() -> AsyncIterator[gw.ConverseRequest]:
            yield gw.ConverseRequest(start=start)
            for modality, data in ((pb.MODALITY_AUDIO, self.audio), (pb.MODALITY_VIDEO, self.video)):
                for at in range(0, len(data), CHUNK_BYTES):
                    piece = data[at : at + CHUNK_BYTES]
                    yield gw.ConverseRequest(chunk=gw.MediaChunk(modality=modality, data=piece))

        return send


class Client:
    """A connection to a gateway; reconnects by itself.

    Calls raise GatewayRefusedError, AuthenticationError, OverLimitError, UnavailableError, DeadlineExceededError.
    """

    def __init__(self, address: str, api_key: str, *, tls: Tls | None = None) -> None:
        self.address = address
        self._metadata = (("authorization", f"Bearer {api_key}"),)
        options = (("grpc.keepalive_time_ms", 60_000), ("grpc.max_receive_message_length", 4 << 20))
        if tls is None:
            self._channel = grpc.aio.insecure_channel(address, options=options)
        else:
            self._channel = grpc.aio.secure_channel(address, tls.credentials(), options=options)
        self._stub: Any = gateway_pb2_grpc.GatewayStub(self._channel)  # type: ignore[no-untyped-call]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Disconnect."""
        await self._channel.close()

    async def connect(self, timeout_s: float = CONNECT_S) -> None:
        """Wait until the gateway answers; calls connect by themselves. Raises UnavailableError."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._channel.channel_ready()
        except TimeoutError:
            raise UnavailableError(f"no gateway answers at {self.address} within {timeout_s:g} s") from None

    async def converse(
        self, turn: TurnInput, *, wait_for_trust: bool = False, timeout_s: float = 120.0
    ) -> AsyncIterator[gw.ConverseResponse]:
        """Send a turn and yield what becomes of it, from `accepted` to `reply` (and `trust`) or `rejected`.

        The pieces (`delta`) are the beginning of the reply; `reply` has all of it and is what counts.
        """
        call = self._stub.Converse(
            turn.parts(wait_for_trust=wait_for_trust)(), metadata=self._metadata, timeout=timeout_s
        )
        try:
            async for response in call:
                yield response
        except grpc.aio.AioRpcError as error:
            _raise(error, self.address)
        finally:
            call.cancel()

    async def publish(self, turn: TurnInput, *, timeout_s: float = 60.0) -> gw.Accepted:
        """Send a turn without waiting for its reply; returns when it is durable."""
        answer = await self._call(self._stub.Publish, turn.parts()(), timeout_s)
        accepted: gw.Accepted = answer.accepted
        return accepted

    async def get_reply(self, conversation_id: str, utterance_id: str, *, wait_s: float = 0.0) -> gw.GetReplyResponse:
        """Ask for the outcome of an utterance, waiting for it at most so long. Fields that are not known are absent."""
        request = gw.GetReplyRequest(conversation_id=conversation_id, utterance_id=utterance_id, wait_s=wait_s)
        answer: gw.GetReplyResponse = await self._call(self._stub.GetReply, request, wait_s + CONNECT_S)
        return answer

    async def send_feedback(
        self,
        conversation_id: str,
        utterance_id: str,
        *,
        rating: float | None = None,
        intensity: float | None = None,
        source: str = "user",
    ) -> None:
        """Say how a reply was received: `rating` and the person's own `intensity` after it, both 0 to 1."""
        request = gw.SendFeedbackRequest(
            conversation_id=conversation_id,
            utterance_id=utterance_id,
            rating=rating,
            intensity=intensity,
            source=source,
        )
        await self._call(self._stub.SendFeedback, request, CONNECT_S)

    async def acknowledge(
        self, conversation_id: str, utterance_id: str, escalation_id: str, *, by: str, note: str = ""
    ) -> None:
        """Say that a human has taken an escalation over; the ids as the `Escalation` has them. Never what was said."""
        request = gw.AcknowledgeRequest(
            conversation_id=conversation_id, utterance_id=utterance_id, escalation_id=escalation_id, by=by, note=note
        )
        await self._call(self._stub.Acknowledge, request, CONNECT_S)

    async def _call(self, method: Any, request: Any, timeout_s: float) -> Any:
        try:
            return await method(request, metadata=self._metadata, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            _raise(error, self.address)


_UNSENT: Final = MappingProxyType(
    {
        grpc.StatusCode.UNAVAILABLE: UnavailableError,
        grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceededError,
        grpc.StatusCode.UNAUTHENTICATED: AuthenticationError,
    }
)


def _raise(error: Any, address: str) -> NoReturn:
    """Turn a gRPC status into one of our errors."""
    status, detail = error.code(), f"{address}: {error.details()}"
    if status is grpc.StatusCode.RESOURCE_EXHAUSTED:
        metadata = dict(error.trailing_metadata() or ())
        raise OverLimitError(detail, float(metadata.get("retry-after", 1))) from None
    raise _UNSENT.get(status, GatewayRefusedError)(detail) from None
