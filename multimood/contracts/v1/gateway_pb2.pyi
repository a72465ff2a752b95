from multimood.contracts.v1 import events_pb2 as _events_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ConverseRequest(_message.Message):
    __slots__ = ("start", "chunk")
    START_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    start: TurnStart
    chunk: MediaChunk
    def __init__(self, start: _Optional[_Union[TurnStart, _Mapping]] = ..., chunk: _Optional[_Union[MediaChunk, _Mapping]] = ...) -> None: ...

class TurnStart(_message.Message):
    __slots__ = ("conversation_id", "utterance_id", "text", "locale", "privacy", "occurred_at_us", "audio", "video", "wait_for_trust", "audio_ref", "video_ref", "subject")
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    UTTERANCE_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    LOCALE_FIELD_NUMBER: _ClassVar[int]
    PRIVACY_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_US_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    VIDEO_FIELD_NUMBER: _ClassVar[int]
    WAIT_FOR_TRUST_FIELD_NUMBER: _ClassVar[int]
    AUDIO_REF_FIELD_NUMBER: _ClassVar[int]
    VIDEO_REF_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    conversation_id: str
    utterance_id: str
    text: str
    locale: str
    privacy: _events_pb2.Privacy
    occurred_at_us: int
    audio: bool
    video: bool
    wait_for_trust: bool
    audio_ref: _events_pb2.MediaRef
    video_ref: _events_pb2.MediaRef
    subject: str
    def __init__(self, conversation_id: _Optional[str] = ..., utterance_id: _Optional[str] = ..., text: _Optional[str] = ..., locale: _Optional[str] = ..., privacy: _Optional[_Union[_events_pb2.Privacy, _Mapping]] = ..., occurred_at_us: _Optional[int] = ..., audio: _Optional[bool] = ..., video: _Optional[bool] = ..., wait_for_trust: _Optional[bool] = ..., audio_ref: _Optional[_Union[_events_pb2.MediaRef, _Mapping]] = ..., video_ref: _Optional[_Union[_events_pb2.MediaRef, _Mapping]] = ..., subject: _Optional[str] = ...) -> None: ...

class MediaChunk(_message.Message):
    __slots__ = ("modality", "data")
    MODALITY_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    modality: _events_pb2.Modality
    data: bytes
    def __init__(self, modality: _Optional[_Union[_events_pb2.Modality, str]] = ..., data: _Optional[bytes] = ...) -> None: ...

class ConverseResponse(_message.Message):
    __slots__ = ("accepted", "decision", "delta", "reply", "escalation", "trust", "rejected")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    REPLY_FIELD_NUMBER: _ClassVar[int]
    ESCALATION_FIELD_NUMBER: _ClassVar[int]
    TRUST_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    accepted: Accepted
    decision: _events_pb2.Decision
    delta: _events_pb2.ReplyDelta
    reply: _events_pb2.Reply
    escalation: _events_pb2.Escalation
    trust: _events_pb2.TrustScore
    rejected: Rejected
    def __init__(self, accepted: _Optional[_Union[Accepted, _Mapping]] = ..., decision: _Optional[_Union[_events_pb2.Decision, _Mapping]] = ..., delta: _Optional[_Union[_events_pb2.ReplyDelta, _Mapping]] = ..., reply: _Optional[_Union[_events_pb2.Reply, _Mapping]] = ..., escalation: _Optional[_Union[_events_pb2.Escalation, _Mapping]] = ..., trust: _Optional[_Union[_events_pb2.TrustScore, _Mapping]] = ..., rejected: _Optional[_Union[Rejected, _Mapping]] = ...) -> None: ...

class Accepted(_message.Message):
    __slots__ = ("utterance_id", "duplicate")
    UTTERANCE_ID_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    utterance_id: str
    duplicate: bool
    def __init__(self, utterance_id: _Optional[str] = ..., duplicate: _Optional[bool] = ...) -> None: ...

class Rejected(_message.Message):
    __slots__ = ("stage", "reason")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    stage: str
    reason: str
    def __init__(self, stage: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class PublishResponse(_message.Message):
    __slots__ = ("accepted",)
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    accepted: Accepted
    def __init__(self, accepted: _Optional[_Union[Accepted, _Mapping]] = ...) -> None: ...

class GetReplyRequest(_message.Message):
    __slots__ = ("conversation_id", "utterance_id", "wait_s")
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    UTTERANCE_ID_FIELD_NUMBER: _ClassVar[int]
    WAIT_S_FIELD_NUMBER: _ClassVar[int]
    conversation_id: str
    utterance_id: str
    wait_s: float
    def __init__(self, conversation_id: _Optional[str] = ..., utterance_id: _Optional[str] = ..., wait_s: _Optional[float] = ...) -> None: ...

class GetReplyResponse(_message.Message):
    __slots__ = ("reply", "decision", "escalation", "trust", "rejected")
    REPLY_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    ESCALATION_FIELD_NUMBER: _ClassVar[int]
    TRUST_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    reply: _events_pb2.Reply
    decision: _events_pb2.Decision
    escalation: _events_pb2.Escalation
    trust: _events_pb2.TrustScore
    rejected: Rejected
    def __init__(self, reply: _Optional[_Union[_events_pb2.Reply, _Mapping]] = ..., decision: _Optional[_Union[_events_pb2.Decision, _Mapping]] = ..., escalation: _Optional[_Union[_events_pb2.Escalation, _Mapping]] = ..., trust: _Optional[_Union[_events_pb2.TrustScore, _Mapping]] = ..., rejected: _Optional[_Union[Rejected, _Mapping]] = ...) -> None: ...

class SendFeedbackRequest(_message.Message):
    __slots__ = ("conversation_id", "utterance_id", "rating", "intensity", "source")
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    UTTERANCE_ID_FIELD_NUMBER: _ClassVar[int]
    RATING_FIELD_NUMBER: _ClassVar[int]
    INTENSITY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    conversation_id: str
    utterance_id: str
    rating: float
    intensity: float
    source: str
    def __init__(self, conversation_id: _Optional[str] = ..., utterance_id: _Optional[str] = ..., rating: _Optional[float] = ..., intensity: _Optional[float] = ..., source: _Optional[str] = ...) -> None: ...

class SendFeedbackResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AcknowledgeRequest(_message.Message):
    __slots__ = ("conversation_id", "utterance_id", "escalation_id", "by", "note")
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    UTTERANCE_ID_FIELD_NUMBER: _ClassVar[int]
    ESCALATION_ID_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    conversation_id: str
    utterance_id: str
    escalation_id: str
    by: str
    note: str
    def __init__(self, conversation_id: _Optional[str] = ..., utterance_id: _Optional[str] = ..., escalation_id: _Optional[str] = ..., by: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class AcknowledgeResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
