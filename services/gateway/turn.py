"""What the first message of an utterance may say. Pure."""

import math
import re
import uuid
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from multimood.clock import now_us
from multimood.contracts.v1 import events_pb2 as pb
from multimood.contracts.v1 import gateway_pb2 as gw
from multimood.errors import InvalidMediaError
from multimood.store.reference import check_reference
from services.gateway.refusals import InvalidRequestError

EARLIEST_US: Final = 946_684_800_000_000  # the year 2000: whoever sends seconds or milliseconds is before it
FUTURE_US: Final = 3_600_000_000
MEDIA: Final = MappingProxyType({pb.MODALITY_AUDIO: "audio", pb.MODALITY_VIDEO: "video"})

_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_LOCALE: Final = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}")
_LABEL: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class IngestLimits:
    """Bounds of one utterance."""

    text_chars: int
    media_bytes: int
    upload_s: float


@dataclass(frozen=True, slots=True)
class Key:
    """An utterance's full name. Everything the gateway knows is found by it, so no tenant can ask for another's."""

    tenant: str
    conversation_id: str
    utterance_id: str


@dataclass(frozen=True, slots=True)
class Turn:
    """A checked `TurnStart`."""

    context: pb.Context
    text: str
    uploads: tuple[pb.Modality, ...]
    """Modalities whose chunks follow."""
    references: MappingProxyType[pb.Modality, pb.MediaRef]
    """Modalities that are in the store already."""
    wait_for_trust: bool

    @property
    def key(self) -> Key:
        """The utterance's name."""
        return Key(self.context.tenant, self.context.conversation_id, self.context.utterance_id)

    @property
    def manifest(self) -> list[pb.Modality]:
        """What is announced, in the order of the contract."""
        text = [pb.MODALITY_TEXT] if self.text else []
        return sorted([*text, *self.uploads, *self.references])


def check_id(name: str, value: str) -> str:
    """Give back an id that is one. Raises InvalidRequestError."""
    if _ID.fullmatch(value) is None:
        shape = f"{len(value)} characters" + ("" if len(value) > 128 or not value else ", some not allowed")  # noqa: PLR2004
        raise InvalidRequestError(name, shape, "send 1 to 128 characters of [A-Za-z0-9._:-]")
    return value


def check_turn(start: gw.TurnStart, tenant: str, limits: IngestLimits, media_bucket: str) -> Turn:
    """Check all that the first message says; make an utterance id if it has none. Raises InvalidRequestError."""
    conversation = check_id("start.conversation_id", start.conversation_id)
    utterance = check_id("start.utterance_id", start.utterance_id) if start.utterance_id else str(uuid.uuid4())
    if len(start.text) > limits.text_chars:
        raise InvalidRequestError(
            "start.text",
            f"{len(start.text)} characters",
            f"send at most {limits.text_chars}, in several turns if need be",
        )
    if start.locale and _LOCALE.fullmatch(start.locale) is None:
        raise InvalidRequestError(
            "start.locale", f"{len(start.locale)} characters", "send a BCP 47 tag such as 'en-GB'"
        )
    retention = start.privacy.retention_class
    if retention and _LABEL.fullmatch(retention) is None:
        raise InvalidRequestError(
            "start.privacy.retention_class",
            f"{len(retention)} characters",
            "send up to 64 characters of [A-Za-z0-9._-]",
        )
    subject = check_id("start.subject", start.subject) if start.subject else ""
    references = _references(start, tenant, limits, media_bucket)
    announced = {pb.MODALITY_AUDIO: start.audio, pb.MODALITY_VIDEO: start.video}
    uploads = tuple(modality for modality, is_announced in announced.items() if is_announced)
    text = start.text if start.text.strip() else ""
    if not (text or uploads or references):
        raise InvalidRequestError("start", "nothing but blanks is announced", "send text, audio or video")
    context = pb.Context(
        tenant=tenant, conversation_id=conversation, utterance_id=utterance, locale=start.locale,
        occurred_at_us=_occurred(start.occurred_at_us), privacy=start.privacy, subject=subject,
    )  # fmt: skip
    return Turn(context, text, uploads, references, start.wait_for_trust)


def check_feedback(request: gw.SendFeedbackRequest, tenant: str) -> pb.Feedback:
    """Make the event that a feedback is. Raises InvalidRequestError."""
    context = pb.Context(
        tenant=tenant, conversation_id=check_id("conversation_id", request.conversation_id),
        utterance_id=check_id("utterance_id", request.utterance_id), occurred_at_us=now_us(),
    )  # fmt: skip
    given = {name: getattr(request, name) for name in ("rating", "intensity") if request.HasField(name)}
    if not given:
        raise InvalidRequestError("rating", "neither rating nor intensity is set", "send at least one of them, 0 to 1")
    for name, value in given.items():
        if not (math.isfinite(value) and 0 <= value <= 1):
            raise InvalidRequestError(name, f"{value:g}", "send a number from 0 to 1")
    if request.source and _LABEL.fullmatch(request.source) is None:
        raise InvalidRequestError(
            "source", f"{len(request.source)} characters", "send a label such as 'user': [A-Za-z0-9._-], at most 64"
        )
    return pb.Feedback(context=context, source=request.source, **given)


def _references(
    start: gw.TurnStart, tenant: str, limits: IngestLimits, media_bucket: str
) -> MappingProxyType[pb.Modality, pb.MediaRef]:
    found: dict[pb.Modality, pb.MediaRef] = {}
    for modality, name in MEDIA.items():
        if not start.HasField(f"{name}_ref"):
            continue
        if getattr(start, name):
            raise InvalidRequestError(
                f"start.{name}_ref", f"start.{name} is set too", "send chunks or a reference, not both"
            )
        ref = pb.MediaRef()
        ref.CopyFrom(getattr(start, f"{name}_ref"))
        ref.bucket = ref.bucket or media_bucket
        ref.ClearField("key_id")  # sealed is only what we seal ourselves
        try:
            check_reference(ref, tenant=tenant, limit=limits.media_bytes, buckets=(media_bucket,))
        except InvalidMediaError as error:
            raise InvalidRequestError(
                f"start.{name}_ref",
                str(error),
                "refer to an object in your folder of the media bucket, with size and sha256",
            ) from None
        found[modality] = ref
    return MappingProxyType(found)


def _occurred(value: int) -> int:
    now = now_us()
    if value and not EARLIEST_US <= value <= now + FUTURE_US:
        raise InvalidRequestError(
            "start.occurred_at_us",
            f"{value} is before 2000 or in the future",
            "send microseconds since the epoch, or 0 for now",
        )
    return value or now
