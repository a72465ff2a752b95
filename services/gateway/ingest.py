"""From a client's stream of parts to the media of one utterance, or a refusal that says what to change."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from multimood.contracts.v1 import events_pb2 as pb
from multimood.contracts.v1 import gateway_pb2 as gw
from multimood.errors import InvalidMediaError
from multimood.media.sniff import identify
from services.gateway.limits import TenantLimits, UploadMemory
from services.gateway.refusals import InvalidRequestError, UploadTimeoutError
from services.gateway.turn import MEDIA, IngestLimits, Turn

CHUNK_BYTES: Final = 1 << 20
UNKNOWN_TYPE: Final = "application/octet-stream"


@dataclass(slots=True)
class Upload:
    """The media of one utterance while it arrives. `close` gives its share of the memory back."""

    turn: Turn
    limits: IngestLimits
    tenants: TenantLimits
    memory: UploadMemory
    _chunks: dict[pb.Modality, list[bytes]] = field(default_factory=dict)
    _sizes: dict[pb.Modality, int] = field(default_factory=dict)

    def add(self, chunk: gw.MediaChunk) -> None:
        """Take a chunk. Raises InvalidRequestError, or OverLimitError when a budget is used up."""
        name = MEDIA.get(chunk.modality)
        data = chunk.data
        size = len(data)
        if name is None or chunk.modality not in self.turn.uploads:
            what = name or "no medium"
            raise InvalidRequestError(
                "chunk.modality",
                f"{what} was not announced",
                f"set start.{name or 'audio or start.video'} to send chunks of it",
            )
        if size > CHUNK_BYTES:
            raise InvalidRequestError("chunk.data", f"{size} bytes", f"send chunks of at most {CHUNK_BYTES} bytes")
        total = self._sizes.get(chunk.modality, 0) + size
        if total > self.limits.media_bytes:
            raise InvalidRequestError(
                f"chunk.data of {name}", f"more than {self.limits.media_bytes} bytes", "send shorter or smaller media"
            )
        self.memory.hold(size)
        self._sizes[chunk.modality] = total
        self.tenants.admit_bytes(self.turn.context.tenant, size)
        self._chunks.setdefault(chunk.modality, []).append(data)

    def take(self) -> dict[pb.Modality, tuple[bytes, str]]:
        """Give the media with their sniffed types, when all that was announced has come. Raises InvalidRequestError.

        A file whose type is none we know still counts as sent: beside something usable it goes on as
        `application/octet-stream`, and its encoder says why it is of no use. Alone it is refused here.
        """
        for modality in self.turn.uploads:
            if not self._sizes.get(modality):
                name = MEDIA[modality]
                raise InvalidRequestError(
                    f"start.{name}",
                    "announced, but no data came",
                    f"send chunks of {name} before half-closing, or do not set it",
                )
        media: dict[pb.Modality, tuple[bytes, str]] = {}
        faults: list[str] = []
        for modality in self.turn.uploads:
            data = b"".join(self._chunks.pop(modality))
            try:
                media[modality] = data, identify(data, MEDIA[modality])
            except InvalidMediaError as error:
                media[modality] = data, UNKNOWN_TYPE
                faults.append(f"{MEDIA[modality]} is {error}")
        if faults and len(faults) == len(self.turn.manifest):
            raise InvalidRequestError("chunk.data", "; ".join(faults), "send a file of an accepted type")
        return media

    def close(self) -> None:
        """Give back what is held."""
        self.memory.release(sum(self._sizes.values()))
        self._sizes.clear()
        self._chunks.clear()


async def first_part(parts: AsyncIterator[gw.ConverseRequest], limits: IngestLimits) -> gw.TurnStart:
    """Wait for the message that must come first. Raises InvalidRequestError, UploadTimeoutError."""
    try:
        async with asyncio.timeout(limits.upload_s):
            async for part in parts:
                if part.WhichOneof("part") != "start":
                    break
                return part.start
    except TimeoutError:
        raise UploadTimeoutError(f"nothing came within {limits.upload_s:g} s; send 'start' first") from None
    raise InvalidRequestError("start", "not the first message", "send one 'start', then chunks, then half-close")


async def receive(parts: AsyncIterator[gw.ConverseRequest], upload: Upload) -> None:
    """Add chunks until the client half-closes. Raises what `Upload.add` raises, and UploadTimeoutError."""
    limit_s = upload.limits.upload_s
    try:
        async with asyncio.timeout(limit_s):
            async for part in parts:
                if part.WhichOneof("part") != "chunk":
                    raise InvalidRequestError(
                        "start", "came a second time, or an empty message", "send only chunks after it"
                    )
                upload.add(part.chunk)
    except TimeoutError:
        raise UploadTimeoutError(
            f"the utterance was not complete within {limit_s:g} s; half-close after the last chunk"
        ) from None
