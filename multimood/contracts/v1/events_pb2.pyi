from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Modality(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODALITY_UNSPECIFIED: _ClassVar[Modality]
    MODALITY_TEXT: _ClassVar[Modality]
    MODALITY_AUDIO: _ClassVar[Modality]
    MODALITY_VIDEO: _ClassVar[Modality]

class MissingReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MISSING_REASON_UNSPECIFIED: _ClassVar[MissingReason]
    MISSING_REASON_MEDIA_CORRUPT: _ClassVar[MissingReason]
    MISSING_REASON_MEDIA_UNSUPPORTED: _ClassVar[MissingReason]
    MISSING_REASON_MEDIA_TOO_LARGE: _ClassVar[MissingReason]
    MISSING_REASON_MEDIA_NOT_FOUND: _ClassVar[MissingReason]
    MISSING_REASON_MEDIA_REFUSED: _ClassVar[MissingReason]
    MISSING_REASON_NO_FACE: _ClassVar[MissingReason]
    MISSING_REASON_NO_SPEECH: _ClassVar[MissingReason]
    MISSING_REASON_MODEL_UNAVAILABLE: _ClassVar[MissingReason]
    MISSING_REASON_DEADLINE: _ClassVar[MissingReason]
    MISSING_REASON_EMPTY: _ClassVar[MissingReason]

class RiskLevel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RISK_LEVEL_UNSPECIFIED: _ClassVar[RiskLevel]
    RISK_LEVEL_NONE: _ClassVar[RiskLevel]
    RISK_LEVEL_LOW: _ClassVar[RiskLevel]
    RISK_LEVEL_ELEVATED: _ClassVar[RiskLevel]
    RISK_LEVEL_IMMINENT: _ClassVar[RiskLevel]
    RISK_LEVEL_UNSCREENED: _ClassVar[RiskLevel]

class Override(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OVERRIDE_NONE: _ClassVar[Override]
    OVERRIDE_CRISIS: _ClassVar[Override]
    OVERRIDE_UNSCREENED: _ClassVar[Override]
    OVERRIDE_NO_INPUT: _ClassVar[Override]
    OVERRIDE_MODEL_UNAVAILABLE: _ClassVar[Override]
    OVERRIDE_ESCALATED: _ClassVar[Override]
    OVERRIDE_EVIDENCE: _ClassVar[Override]

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_USER: _ClassVar[Role]
    ROLE_SYSTEM: _ClassVar[Role]

class ReplySource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REPLY_SOURCE_UNSPECIFIED: _ClassVar[ReplySource]
    REPLY_SOURCE_GENERATED: _ClassVar[ReplySource]
    REPLY_SOURCE_VETTED_CRISIS: _ClassVar[ReplySource]
    REPLY_SOURCE_VETTED_FALLBACK: _ClassVar[ReplySource]

class RolloutStage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLLOUT_STAGE_UNSPECIFIED: _ClassVar[RolloutStage]
    ROLLOUT_STAGE_CANARY: _ClassVar[RolloutStage]
    ROLLOUT_STAGE_COMPLETED: _ClassVar[RolloutStage]
    ROLLOUT_STAGE_ROLLED_BACK: _ClassVar[RolloutStage]
MODALITY_UNSPECIFIED: Modality
MODALITY_TEXT: Modality
MODALITY_AUDIO: Modality
MODALITY_VIDEO: Modality
MISSING_REASON_UNSPECIFIED: MissingReason
MISSING_REASON_MEDIA_CORRUPT: MissingReason
MISSING_REASON_MEDIA_UNSUPPORTED: MissingReason
MISSING_REASON_MEDIA_TOO_LARGE: MissingReason
MISSING_REASON_MEDIA_NOT_FOUND: MissingReason
MISSING_REASON_MEDIA_REFUSED: MissingReason
MISSING_REASON_NO_FACE: MissingReason
MISSING_REASON_NO_SPEECH: MissingReason
MISSING_REASON_MODEL_UNAVAILABLE: MissingReason
MISSING_REASON_DEADLINE: MissingReason
MISSING_REASON_EMPTY: MissingReason
RISK_LEVEL_UNSPECIFIED: RiskLevel
RISK_LEVEL_NONE: RiskLevel
RISK_LEVEL_LOW: RiskLevel
RISK_LEVEL_ELEVATED: RiskLevel
RISK_LEVEL_IMMINENT: RiskLevel
RISK_LEVEL_UNSCREENED: RiskLevel
OVERRIDE_NONE: Override
OVERRIDE_CRISIS: Override
OVERRIDE_UNSCREENED: Override
OVERRIDE_NO_INPUT: Override
OVERRIDE_MODEL_UNAVAILABLE: Override
OVERRIDE_ESCALATED: Override
OVERRIDE_EVIDENCE: Override
ROLE_UNSPECIFIED: Role
ROLE_USER: Role
ROLE_SYSTEM: Role
REPLY_SOURCE_UNSPECIFIED: ReplySource
REPLY_SOURCE_GENERATED: ReplySource
REPLY_SOURCE_VETTED_CRISIS: ReplySource
REPLY_SOURCE_VETTED_FALLBACK: ReplySource
ROLLOUT_STAGE_UNSPECIFIED: RolloutStage
ROLLOUT_STAGE_CANARY: RolloutStage
ROLLOUT_STAGE_COMPLETED: RolloutStage
ROLLOUT_STAGE_ROLLED_BACK: RolloutStage

class Context(_message.Message):
    __slots__ = ("tenant", "conversation_id", "utterance_id", "occurred_at_us", "locale", "privacy", "subject")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_ID_FIELD_NUMBER: _ClassVar[int]
    UTTERANCE_ID_FIELD_NUMBER: _ClassVar[int]
    OCCURRED_AT_US_FIELD_NUMBER: _ClassVar[int]
    LOCALE_FIELD_NUMBER: _ClassVar[int]
    PRIVACY_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    conversation_id: str
    utterance_id: str
    occurred_at_us: int
    locale: str
    privacy: Privacy
    subject: str
    def __init__(self, tenant: _Optional[str] = ..., conversation_id: _Optional[str] = ..., utterance_id: _Optional[str] = ..., occurred_at_us: _Optional[int] = ..., locale: _Optional[str] = ..., privacy: _Optional[_Union[Privacy, _Mapping]] = ..., subject: _Optional[str] = ...) -> None: ...

class Privacy(_message.Message):
    __slots__ = ("learning_consent", "retention_class")
    LEARNING_CONSENT_FIELD_NUMBER: _ClassVar[int]
    RETENTION_CLASS_FIELD_NUMBER: _ClassVar[int]
    learning_consent: bool
    retention_class: str
    def __init__(self, learning_consent: _Optional[bool] = ..., retention_class: _Optional[str] = ...) -> None: ...

class Erasure(_message.Message):
    __slots__ = ("context", "erased_at_us")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    ERASED_AT_US_FIELD_NUMBER: _ClassVar[int]
    context: Context
    erased_at_us: int
    def __init__(self, context: _Optional[_Union[Context, _Mapping]] = ..., erased_at_us: _Optional[int] = ...) -> None: ...

class Hop(_message.Message):
    __slots__ = ("service", "received_at_us", "produced_at_us", "model_us")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_US_FIELD_NUMBER: _ClassVar[int]
    PRODUCED_AT_US_FIELD_NUMBER: _ClassVar[int]
    MODEL_US_FIELD_NUMBER: _ClassVar[int]
    service: str
    received_at_us: int
    produced_at_us: int
    model_us: int
    def __init__(self, service: _Optional[str] = ..., received_at_us: _Optional[int] = ..., produced_at_us: _Optional[int] = ..., model_us: _Optional[int] = ...) -> None: ...

class MediaRef(_message.Message):
    __slots__ = ("bucket", "key", "sha256", "size_bytes", "media_type", "key_id")
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    bucket: str
    key: str
    sha256: bytes
    size_bytes: int
    media_type: str
    key_id: bytes
    def __init__(self, bucket: _Optional[str] = ..., key: _Optional[str] = ..., sha256: _Optional[bytes] = ..., size_bytes: _Optional[int] = ..., media_type: _Optional[str] = ..., key_id: _Optional[bytes] = ...) -> None: ...

class Utterance(_message.Message):
    __slots__ = ("context", "manifest", "text", "audio", "video", "hops")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    VIDEO_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    context: Context
    manifest: _containers.RepeatedScalarFieldContainer[Modality]
    text: str
    audio: MediaRef
    video: MediaRef
    hops: _containers.RepeatedCompositeFieldContainer[Hop]
    def __init__(self, context: _Optional[_Union[Context, _Mapping]] = ..., manifest: _Optional[_Iterable[_Union[Modality, str]]] = ..., text: _Optional[str] = ..., audio: _Optional[_Union[MediaRef, _Mapping]] = ..., video: _Optional[_Union[MediaRef, _Mapping]] = ..., hops: _Optional[_Iterable[_Union[Hop, _Mapping]]] = ...) -> None: ...

class Transcript(_message.Message):
    __slots__ = ("context", "text", "no_speech_probability", "missing", "model_name", "model_version", "hops")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    NO_SPEECH_PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    context: Context
    text: str
    no_speech_probability: float
    missing: MissingReason
    model_name: str
    model_version: str
    hops: _containers.RepeatedCompositeFieldContainer[Hop]
    def __init__(self, context: _Optional[_Union[Context, _Mapping]] = ..., text: _Optional[str] = ..., no_speech_probability: _Optional[float] = ..., missing: _Optional[_Union[MissingReason, str]] = ..., model_name: _Optional[str] = ..., model_version: _Optional[str] = ..., hops: _Optional[_Iterable[_Union[Hop, _Mapping]]] = ...) -> None: ...

class Screening(_message.Message):
    __slots__ = ("context", "level", "rules", "score", "version", "hops", "held")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    context: Context
    level: RiskLevel
    rules: _containers.RepeatedScalarFieldContainer[str]
    score: float
    version: str
    hops: _containers.RepeatedCompositeFieldContainer[Hop]
    held: bool
    def __init__(self, context: _Optional[_Union[Context, _Mapping]] = ..., level: _Optional[_Union[RiskLevel, str]] = ..., rules: _Optional[_Iterable[str]] = ..., score: _Optional[float] = ..., version: _Optional[str] = ..., hops: _Optional[_Iterable[_Union[Hop, _Mapping]]] = ..., held: _Optional[bool] = ...) -> None: ...

class Embedding(_message.Message):
    __slots__ = ("context", "modality", "vector", "shape", "model_name", "model_version", "missing", "hops")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    MODALITY_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    context: Context
    modality: Modality
    vector: bytes
    shape: _containers.RepeatedScalarFieldContainer[int]
    model_name: str
    model_version: str
    missing: MissingReason
    hops: _containers.RepeatedCompositeFieldContainer[Hop]
    def __init__(self, context: _Optional[_Union[Context, _Mapping]] = ..., modality: _Optional[_Union[Modality, str]] = ..., vector: _Optional[bytes] = ..., shape: _Optional[_Iterable[int]] = ..., model_name: _Optional[str] = ..., model_version: _Optional[str] = ..., missing: _Optional[_Union[MissingReason, str]] = ..., hops: _Optional[_Iterable[_Union[Hop, _Mapping]]] = ...) -> None: ...

class MissingModality(_message.Message):
    __slots__ = ("modality", "reason")
    MODALITY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    modality: Modality
    reason: MissingReason
    def __init__(self, modality: _Optional[_Union[Modality, str]] = ..., reason: _Optional[_Union[MissingReason, str]] = ...) -> None: ...

class Features(_message.Message):
    __slots__ = ("context", "manifest", "text", "embeddings", "missing", "screening", "hops", "has_language")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    SCREENING_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    HAS_LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    context: Context
    manifest: _containers.RepeatedScalarFieldContainer[Modality]
    text: str
    embeddings: _containers.RepeatedCompositeFieldContainer[Embedding]
    missing: _containers.RepeatedCompositeFieldContainer[MissingModality]
    screening: Screening
    hops: _containers.RepeatedCompositeFieldContainer[Hop]
    has_language: bool
    def __init__(self, context: _Optional[_Union[Context, _Mapping]] = ..., manifest: _Optional[_Iterable[_Union[Modality, str]]] = ..., text: _Optional[str] = ..., embeddings: _Optional[_Iterable[_Union[Embedding, _Mapping]]] = ..., missing: _Optional[_Iterable[_Union[MissingModality, _Mapping]]] = ..., screening: _Optional[_Union[Screening, _Mapping]] = ..., hops: _Optional[_Iterable[_Union[Hop, _Mapping]]] = ..., has_language: _Optional[bool] = ...) -> None: ...

class FeaturesOfBytes(_message.Message):
    __slots__ = ("context", "manifest", "text", "embeddings", "missing", "screening", "hops", "has_language")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    SCREENING_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    HAS_LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    context: Context
    manifest: _containers.RepeatedScalarFieldContainer[Modality]
    text: str
    embeddings: _containers.RepeatedScalarFieldContainer[bytes]
    missing: _containers.RepeatedCompositeFieldContainer[MissingModality]
    screening: bytes
    hops: _containers.RepeatedCompositeFieldContainer[Hop]
    has_language: bool
    def __init__(self, context: _Optional[_Union[Context, _Mapping]] = ..., manifest: _Optional[_Iterable[_Union[Modality, str]]] = ..., text: _Optional[str] = ..., embeddings: _Optional[_Iterable[bytes]] = ..., missing: _Optional[_Iterable[_Union[MissingModality, _Mapping]]] = ..., screening: _Optional[bytes] = ..., hops: _Optional[_Iterable[_Union[Hop, _Mapping]]] = ..., has_language: _Optional[bool] = ...) -> None: ...

class Probability(_message.Message):
    __slots__ = ("label", "p")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    P_FIELD_NUMBER: _ClassVar[int]
    label: str
    p: float
    def __init__(self, label: _Optional[str] = ..., p: _Optional[float] = ...) -> None: ...

class ModalityEmotion(_message.Message):
    __slots__ = ("modality", "emotion")
    MODALITY_FIELD_NUMBER: _ClassVar[int]
    EMOTION_FIELD_NUMBER: _ClassVar[int]
    modality: Modality
    emotion: _containers.RepeatedCompositeFieldContainer[Probability]
    def __init__(self, modality: _Optional[_Union[Modality, str]] = ..., emotion: _Optional[_Iterable[_Union[Probability, _Mapping]]] = ...) -> None: ...

class Turn(_message.Message):
    __slots__ = ("role", "text", "utterance_id", "label", "vector", "emotion")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    UTTERANCE_ID_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    EMOTION_FIELD_NUMBER: _ClassVar[int]
    role: Role
    text: str
    utterance_id: str
    label: str
    vector: bytes
    emotion: _containers.RepeatedCompositeFieldContainer[Probability]
    def __init__(self, role: _Optional[_Union[Role, str]] = ..., text: _Optional[str] = ..., utterance_id: _Optional[str] = ..., label: _Optional[str] = ..., vector: _Optional[bytes] = ..., emotion: _Optional[_Iterable[_Union[Probability, _Mapping]]] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("context", "user_emotion", "intensity", "stage", "strategy", "chosen", "propensity", "system_emotion", "policy_version", "override", "modality_emotions", "dialogue", "missing", "manifest", "screening", "models", "hops", "step", "state", "state_version", "eligible", "explored", "exploration", "policy_sha256", "policy_assigned", "policy_served", "rollout_step")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    USER_EMOTION_FIELD_NUMBER: _ClassVar[int]
    INTENSITY_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_FIELD_NUMBER: _ClassVar[int]
    PROPENSITY_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_EMOTION_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    OVERRIDE_FIELD_NUMBER: _ClassVar[int]
    MODALITY_EMOTIONS_FIELD_NUMBER: _ClassVar[int]
    DIALOGUE_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    SCREENING_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STATE_VERSION_FIELD_NUMBER: _ClassVar[int]
    ELIGIBLE_FIELD_NUMBER: _ClassVar[int]
    EXPLORED_FIELD_NUMBER: _ClassVar[int]
    EXPLORATION_FIELD_NUMBER: _ClassVar[int]
    POLICY_SHA256_FIELD_NUMBER: _ClassVar[int]
    POLICY_ASSIGNED_FIELD_NUMBER: _ClassVar[int]
    POLICY_SERVED_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_STEP_FIELD_NUMBER: _ClassVar[int]
    context: Context
    user_emotion: _containers.RepeatedCompositeFieldContainer[Probability]
    intensity: float
    stage: str
    strategy: _containers.RepeatedCompositeFieldContainer[Probability]
    chosen: str
    propensity: float
    system_emotion: _containers.RepeatedCompositeFieldContainer[Probability]
    policy_version: str
    override: Override
    modality_emotions: _containers.RepeatedCompositeFieldContainer[ModalityEmotion]
    dialogue: _containers.RepeatedCompositeFieldContainer[Turn]
    missing: _containers.RepeatedCompositeFieldContainer[MissingModality]
    manifest: _containers.RepeatedScalarFieldContainer[Modality]
    screening: Screening
    models: _containers.RepeatedCompositeFieldContainer[ModelVersion]
    hops: _containers.RepeatedCompositeFieldContainer[Hop]
    step: int
    state: _containers.RepeatedScalarFieldContainer[float]
    state_version: str
    eligible: _containers.RepeatedScalarFieldContainer[str]
    explored: bool
    exploration: str
    policy_sha256: bytes
    policy_assigned: str
    policy_served: str
    rollout_step: str
    def __init__(self, context: _Optional[_Union[Context, _Mapping]] = ..., user_emotion: _Optional[_Iterable[_Union[Probability, _Mapping]]] = ..., intensity: _Optional[float] = ..., stage: _Optional[str] = ..., strategy: _Optional[_Iterable[_Union[Probability, _Mapping]]] = ..., chosen: _Optional[str] = ..., propensity: _Optional[float] = ..., system_emotion: _Optional[_Iterable[_Union[Probability, _Mapping]]] = ..., policy_version: _Optional[str] = ..., override: _Optional[_Union[Override, str]] = ..., modality_emotions: _Optional[_Iterable[_Union[ModalityEmotion, _Mapping]]] = ..., dialogue: _Optional[_Iterable[_Union[Turn, _Mapping]]] = ..., missing: _Optional[_Iterable[_Union[MissingModality, _Mapping]]] = ..., manifest: _Optional[_Iterable[_Union[Modality, str]]] = ..., screening: _Optional[_Union[Screening, _Mapping]] = ..., models: _Optional[_Iterable[_Union[ModelVersion, _Mapping]]] = ..., hops: _Optional[_Iterable[_Union[Hop, _Mapping]]] = ..., step: _Optional[int] = ..., state: _Optional[_Iterable[float]] = ..., state_version: _Optional[str] = ..., eligible: _Optional[_Iterable[str]] = ..., explored: _Optional[bool] = ..., exploration: _Optional[str] = ..., policy_sha256: _Optional[bytes] = ..., policy_assigned: _Optional[str] = ..., policy_served: _Optional[str] = ..., rollout_step: _Optional[str] = ...) -> None: ...

class ModelVersion(_message.Message):
    __slots__ = ("name", "version", "sha256")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    sha256: bytes
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., sha256: _Optional[bytes] = ...) -> None: ...

class Reply(_message.Message):
    __slots__ = ("context", "text", "source", "reason", "vetted_id", "model_name", "model_version", "prompt_version", "prompt_sha256", "prompt_tokens", "completion_tokens", "strategy", "hops", "first_token_us", "attempts", "token_ids", "token_log_probs", "model_assigned", "rollout_step")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    VETTED_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    PROMPT_VERSION_FIELD_NUMBER: _ClassVar[int]
    PROMPT_SHA256_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    FIRST_TOKEN_US_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_IDS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_LOG_PROBS_FIELD_NUMBER: _ClassVar[int]
    MODEL_ASSIGNED_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_STEP_FIELD_NUMBER: _ClassVar[int]
    context: Context
    text: str
    source: ReplySource
    reason: str
    vetted_id: str
    model_name: str
    model_version: str
    prompt_version: str
    prompt_sha256: bytes
    prompt_tokens: int
    completion_tokens: int
    strategy: str
    hops: _containers.RepeatedCompositeFieldContainer[Hop]
    first_token_us: int
    attempts: _containers.RepeatedCompositeFieldContainer[Attempt]
    token_ids: _containers.RepeatedScalarFieldContainer[int]
    token_log_probs: _containers.RepeatedScalarFieldContainer[float]
    model_assigned: str
    rollout_step: str
    def __init__(self, context: _Optional[_Union[Context, _Mapping]] = ..., text: _Optional[str] = ..., source: _Optional[_Union[ReplySource, str]] = ..., reason: _Optional[str] = ..., vetted_id: _Optional[str] = ..., model_name: _Optional[str] = ..., model_version: _Optional[str] = ..., prompt_version: _Optional[str] = ..., prompt_sha256: _Optional[bytes] = ..., prompt_tokens: _Optional[int] = ..., completion_tokens: _Optional[int] = ..., strategy: _Optional[str] = ..., hops: _Optional[_Iterable[_Union[Hop, _Mapping]]] = ..., first_token_us: _Optional[int] = ..., attempts: _Optional[_Iterable[_Union[Attempt, _Mapping]]] = ..., token_ids: _Optional[_Iterable[int]] = ..., token_log_probs: _Optional[_Iterable[float]] = ..., model_assigned: _Optional[str] = ..., rollout_step: _Optional[str] = ...) -> None: ...

class Attempt(_message.Message):
    __slots__ = ("index", "faults", "score", "sent", "completion_tokens", "text")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    FAULTS_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    SENT_FIELD_NUMBER: _ClassVar[int]
    COMPLETION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    index: int
    faults: _containers.RepeatedScalarFieldContainer[str]
    score: float
    sent: bool
    completion_tokens: int
    text: str
    def __init__(self, index: _Optional[int] = ..., faults: _Optional[_Iterable[str]] = ..., score: _Optional[float] = ..., sent: _Optional[bool] = ..., completion_tokens: _Optional[int] = ..., text: _Optional[str] = ...) -> None: ...

class ReplyDelta(_message.Message):
    __slots__ = ("context", "index", "text", "attempt")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    context: Context
    index: int
    text: str
    attempt: str
    def __init__(self, context: _Optional[_Union[Context, _Mapping]] = ..., index: _Optional[int] = ..., text: _Optional[str] = ..., attempt: _Optional[str] = ...) -> None: ...

class CriterionScore(_message.Message):
    __slots__ = ("criterion", "score", "judge", "judge_version")
    CRITERION_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    JUDGE_FIELD_NUMBER: _ClassVar[int]
    JUDGE_VERSION_FIELD_NUMBER: _ClassVar[int]
    criterion: str
    score: float
    judge: str
    judge_version: str
    def __init__(self, criterion: _Optional[str] = ..., score: _Optional[float] = ..., judge: _Optional[str] = ..., judge_version: _Optional[str] = ...) -> None: ...

class Seat(_message.Message):
    __slots__ = ("judge", "judge_version", "criteria")
    JUDGE_FIELD_NUMBER: _ClassVar[int]
    JUDGE_VERSION_FIELD_NUMBER: _ClassVar[int]
    CRITERIA_FIELD_NUMBER: _ClassVar[int]
    judge: str
    judge_version: str
    criteria: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, judge: _Optional[str] = ..., judge_version: _Optional[str] = ..., criteria: _Optional[_Iterable[str]] = ...) -> None: ...

class Absence(_message.Message):
    __slots__ = ("judge", "reason")
    JUDGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    judge: str
    reason: str
    def __init__(self, judge: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class TrustScore(_message.Message):
    __slots__ = ("context", "scores", "reward", "crisis_gate_failed", "reward_version", "experience_key", "hops", "panel", "absent")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    SCORES_FIELD_NUMBER: _ClassVar[int]
    REWARD_FIELD_NUMBER: _ClassVar[int]
    CRISIS_GATE_FAILED_FIELD_NUMBER: _ClassVar[int]
    REWARD_VERSION_FIELD_NUMBER: _ClassVar[int]
    EXPERIENCE_KEY_FIELD_NUMBER: _ClassVar[int]
    HOPS_FIELD_NUMBER: _ClassVar[int]
    PANEL_FIELD_NUMBER: _ClassVar[int]
    ABSENT_FIELD_NUMBER: _ClassVar[int]
    context: Context
    scores: _containers.RepeatedCompositeFieldContainer[CriterionScore]
    reward: float
    crisis_gate_failed: bool
    reward_version: str
    experience_key: str
    hops: _containers.RepeatedCompositeFieldContainer[Hop]
    panel: _containers.RepeatedCompositeFieldContainer[Seat]
    absent: _containers.RepeatedCompositeFieldContainer[Absence]
    def __init__(self, context: _Optional[_Union[Context, _Mapping]] = ..., scores: _Optional[_Iterable[_Union[CriterionScore, _Mapping]]] = ..., reward: _Optional[float] = ..., crisis_gate_failed: _Optional[bool] = ..., reward_version: _Optional[str] = ..., experience_key: _Optional[str] = ..., hops: _Optional[_Iterable[_Union[Hop, _Mapping]]] = ..., panel: _Optional[_Iterable[_Union[Seat, _Mapping]]] = ..., absent: _Optional[_Iterable[_Union[Absence, _Mapping]]] = ...) -> None: ...

class Feedback(_message.Message):
    __slots__ = ("context", "rating", "intensity", "source")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    RATING_FIELD_NUMBER: _ClassVar[int]
    INTENSITY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    context: Context
    rating: float
    intensity: float
    source: str
    def __init__(self, context: _Optional[_Union[Context, _Mapping]] = ..., rating: _Optional[float] = ..., intensity: _Optional[float] = ..., source: _Optional[str] = ...) -> None: ...

class Escalation(_message.Message):
    __slots__ = ("context", "level", "raised_at_us", "rules", "version", "escalation_id", "notice", "notify", "notified_at_us", "acknowledge_by_us", "policy_version")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    RAISED_AT_US_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ESCALATION_ID_FIELD_NUMBER: _ClassVar[int]
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    NOTIFY_FIELD_NUMBER: _ClassVar[int]
    NOTIFIED_AT_US_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGE_BY_US_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    context: Context
    level: RiskLevel
    raised_at_us: int
    rules: _containers.RepeatedScalarFieldContainer[str]
    version: str
    escalation_id: str
    notice: int
    notify: str
    notified_at_us: int
    acknowledge_by_us: int
    policy_version: str
    def __init__(self, context: _Optional[_Union[Context, _Mapping]] = ..., level: _Optional[_Union[RiskLevel, str]] = ..., raised_at_us: _Optional[int] = ..., rules: _Optional[_Iterable[str]] = ..., version: _Optional[str] = ..., escalation_id: _Optional[str] = ..., notice: _Optional[int] = ..., notify: _Optional[str] = ..., notified_at_us: _Optional[int] = ..., acknowledge_by_us: _Optional[int] = ..., policy_version: _Optional[str] = ...) -> None: ...

class Acknowledgement(_message.Message):
    __slots__ = ("context", "escalation_id", "by", "acknowledged_at_us", "note")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    ESCALATION_ID_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_AT_US_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    context: Context
    escalation_id: str
    by: str
    acknowledged_at_us: int
    note: str
    def __init__(self, context: _Optional[_Union[Context, _Mapping]] = ..., escalation_id: _Optional[str] = ..., by: _Optional[str] = ..., acknowledged_at_us: _Optional[int] = ..., note: _Optional[str] = ...) -> None: ...

class Conversation(_message.Message):
    __slots__ = ("context", "turns", "steps", "revision")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    TURNS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    context: Context
    turns: _containers.RepeatedCompositeFieldContainer[Turn]
    steps: int
    revision: int
    def __init__(self, context: _Optional[_Union[Context, _Mapping]] = ..., turns: _Optional[_Iterable[_Union[Turn, _Mapping]]] = ..., steps: _Optional[int] = ..., revision: _Optional[int] = ...) -> None: ...

class PolicyVersion(_message.Message):
    __slots__ = ("version", "sha256")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    version: str
    sha256: bytes
    def __init__(self, version: _Optional[str] = ..., sha256: _Optional[bytes] = ...) -> None: ...

class Rollout(_message.Message):
    __slots__ = ("context", "model", "champion", "challenger", "share", "stage", "until_us", "reason", "operator", "at_us", "former", "rollout_id", "figures")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CHAMPION_FIELD_NUMBER: _ClassVar[int]
    CHALLENGER_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_US_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    FORMER_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_ID_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    context: Context
    model: str
    champion: PolicyVersion
    challenger: PolicyVersion
    share: float
    stage: RolloutStage
    until_us: int
    reason: str
    operator: str
    at_us: int
    former: PolicyVersion
    rollout_id: str
    figures: _containers.RepeatedCompositeFieldContainer[GuardFigure]
    def __init__(self, context: _Optional[_Union[Context, _Mapping]] = ..., model: _Optional[str] = ..., champion: _Optional[_Union[PolicyVersion, _Mapping]] = ..., challenger: _Optional[_Union[PolicyVersion, _Mapping]] = ..., share: _Optional[float] = ..., stage: _Optional[_Union[RolloutStage, str]] = ..., until_us: _Optional[int] = ..., reason: _Optional[str] = ..., operator: _Optional[str] = ..., at_us: _Optional[int] = ..., former: _Optional[_Union[PolicyVersion, _Mapping]] = ..., rollout_id: _Optional[str] = ..., figures: _Optional[_Iterable[_Union[GuardFigure, _Mapping]]] = ...) -> None: ...

class GuardFigure(_message.Message):
    __slots__ = ("name", "champion", "challenger", "low", "high", "champion_conversations", "challenger_conversations", "verdict")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CHAMPION_FIELD_NUMBER: _ClassVar[int]
    CHALLENGER_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    CHAMPION_CONVERSATIONS_FIELD_NUMBER: _ClassVar[int]
    CHALLENGER_CONVERSATIONS_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    name: str
    champion: float
    challenger: float
    low: float
    high: float
    champion_conversations: int
    challenger_conversations: int
    verdict: str
    def __init__(self, name: _Optional[str] = ..., champion: _Optional[float] = ..., challenger: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ..., champion_conversations: _Optional[int] = ..., challenger_conversations: _Optional[int] = ..., verdict: _Optional[str] = ...) -> None: ...
