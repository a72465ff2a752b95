"""Accepting an utterance: its media into the store, then its event onto the bus, once."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from google.protobuf.message import Message

from multimood import topics
from multimood.bus import HopClock
from multimood.clock import now_us
from multimood.contracts.v1 import events_pb2 as pb
from multimood.contracts.v1 import gateway_pb2 as gw
from multimood.errors import InvalidMediaError, MultimoodError, NotFoundError, UnavailableError
from multimood.media.sniff import identify
from multimood.privacy.media import MediaSeals
from multimood.store import Store
from multimood.telemetry import meter
from multimood.topics import Topic
from services.gateway.ingest import UNKNOWN_TYPE, Upload, receive
from services.gateway.limits import TenantLimits, UploadMemory
from services.gateway.outcomes import Outcomes
from services.gateway.refusals import InvalidRequestError
from services.gateway.turn import MEDIA, IngestLimits, Key, Turn

logger = logging.getLogger(__name__)

SERVICE = "gateway"

_accepted = meter().create_counter("multimood.gateway.accepted", description="Utterances taken, new or duplicate")
_without_store = meter().create_counter(
    "multimood.gateway.media.lost", description="Media of accepted utterances that the store did not take, by modality"
)

Media = Mapping[pb.Modality, tuple[bytes, str]]


class PublishesEvents(Protocol):
    """The way onto the bus."""

    async def publish(self, topic: Topic, message: Message, event_id: str | None = None) -> None:
        """Return when the event is durable. Raises UnavailableError."""


class Acceptor:
    """Takes utterances, each once: calls with the same key at the same time share one acceptance."""

    def __init__(
        self,
        bus: PublishesEvents,
        store: Store,
        outcomes: Outcomes,
        *,
        limits: IngestLimits,
        tenants: TenantLimits,
        memory: UploadMemory,
        store_timeout_s: float,
        seals: MediaSeals,
    ) -> None:
        self.bus = bus
        self.store = store
        self.limits = limits
        self.tenants = tenants
        self._outcomes = outcomes
        self._memory = memory
        self._store_timeout_s = store_timeout_s
        self._seals = seals
        self._under_way: dict[Key, asyncio.Event] = {}
        self._finishing: set[asyncio.Task[None]] = set()

    async def accept(self, turn: Turn, parts: AsyncIterator[gw.ConverseRequest]) -> bool:
        """Receive the rest of the stream and make the utterance durable; tells whether it had been accepted before.

        The bus knows the event by an id made of the utterance's key, so an utterance that is published again because
        nobody here remembers it is recognised by every service. Raises RefusedCallError, UnavailableError.
        """
        while (other := self._under_way.get(turn.key)) is not None:
            await other.wait()
        if self._is_known(turn.key):
            _accepted.add(1, {"duplicate": True})
            return True
        upload = Upload(turn, self.limits, self.tenants, self._memory)
        done = self._under_way[turn.key] = asyncio.Event()

        def close() -> None:
            upload.close()
            del self._under_way[turn.key]
            done.set()

        try:
            clock = HopClock(SERVICE, now_us())
            await receive(parts, upload)
            media = upload.take()
        except BaseException:
            close()
            raise
        # A caller who leaves now must not leave half an utterance behind: what is begun is finished.
        task = asyncio.create_task(self._finish(turn, media, clock))
        self._finishing.add(task)
        task.add_done_callback(self._finishing.discard)
        task.add_done_callback(lambda _: close())
        await asyncio.shield(task)
        _accepted.add(1, {"duplicate": False})
        return False

    def _is_known(self, key: Key) -> bool:
        outcome = self._outcomes.get(key)
        return outcome is not None and (outcome.accepted or outcome.reply is not None or outcome.rejected is not None)

    async def _finish(self, turn: Turn, media: Media, clock: HopClock) -> None:
        with clock.model():
            refs = await self._stored(turn, media) | await self._referred(turn)
        utterance = pb.Utterance(context=turn.context, manifest=turn.manifest, text=turn.text)
        for modality, ref in refs.items():
            getattr(utterance, MEDIA[modality]).CopyFrom(ref)
        utterance.hops.append(clock.hop())
        try:
            await self.bus.publish(topics.UTTERANCE, utterance)
        except UnavailableError as error:
            raise UnavailableError(
                f"the bus did not confirm utterance {turn.key.utterance_id}, send it again under this id ({error})"
            ) from None
        self._outcomes.see(turn.key, utterance)

    async def _stored(self, turn: Turn, media: Media) -> dict[pb.Modality, pb.MediaRef]:
        """Put the media into the store, sealed. Words must get through without it: then the reference stays empty.

        Raises UnavailableError when the store, or that of the keys, does not take the media of an utterance without
        text.
        """

        async def put(modality: pb.Modality, data: bytes, media_type: str) -> pb.MediaRef:
            name = self._seals.name(turn.context, MEDIA[modality], hashlib.sha256(data).digest())
            try:
                async with asyncio.timeout(self._store_timeout_s):
                    stored, key_id = await self._seals.seal(turn.context, name, data, now_us())
                    shown_type = UNKNOWN_TYPE if key_id else media_type
                    ref = await self.store.put(self.store.media_bucket, name, stored, shown_type)
                    ref.media_type, ref.key_id = media_type, key_id
                    return ref
            except (MultimoodError, TimeoutError) as error:
                if not turn.text:
                    raise UnavailableError(
                        "the store does not take media at the moment; send the utterance again"
                    ) from None
                _without_store.add(1, {"modality": MEDIA[modality]})
                logger.warning("media lost", extra={"modality": MEDIA[modality], "cause": _reason(error)})
                return pb.MediaRef()

        refs = await asyncio.gather(*(put(modality, *content) for modality, content in media.items()))
        return dict(zip(media, refs, strict=True))

    async def _referred(self, turn: Turn) -> dict[pb.Modality, pb.MediaRef]:
        """Look at the objects referred to, for their type. Raises InvalidRequestError when one is not there."""
        refs = dict(turn.references)
        for modality, ref in refs.items():
            try:
                head = await self.store.peek(ref, tenant=turn.key.tenant, limit=self.limits.media_bytes)
            except NotFoundError as error:
                raise InvalidRequestError(
                    f"start.{MEDIA[modality]}_ref",
                    str(error),
                    "upload the object first; refer to it with its exact size",
                ) from None
            except UnavailableError:
                ref.media_type = UNKNOWN_TYPE  # its encoder will ask the store again, for longer than a caller waits
                continue
            try:
                ref.media_type = identify(head, MEDIA[modality])
            except InvalidMediaError:
                ref.media_type = UNKNOWN_TYPE
        return refs


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", getattr(error, "code", "deadline")))
