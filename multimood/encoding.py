"""What the three encoders share: saying "here is the vector" or "missing, because"."""

from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from multimood import topics
from multimood.bus.envelope import Output, output
from multimood.contracts.v1 import events_pb2 as pb
from multimood.media.errors import MediaError, MediaFault
from multimood.topics import Topic

EMBEDDING_TOPIC: Final = MappingProxyType(
    {
        pb.MODALITY_TEXT: topics.EMBEDDING_TEXT,
        pb.MODALITY_AUDIO: topics.EMBEDDING_AUDIO,
        pb.MODALITY_VIDEO: topics.EMBEDDING_VIDEO,
    }
)

_BY_FAULT: Final = MappingProxyType(
    {
        MediaFault.CORRUPT: pb.MISSING_REASON_MEDIA_CORRUPT,
        MediaFault.UNSUPPORTED_TYPE: pb.MISSING_REASON_MEDIA_UNSUPPORTED,
        MediaFault.NO_AUDIO_STREAM: pb.MISSING_REASON_MEDIA_UNSUPPORTED,
        MediaFault.NO_VIDEO_STREAM: pb.MISSING_REASON_MEDIA_UNSUPPORTED,
        MediaFault.TOO_LARGE: pb.MISSING_REASON_MEDIA_TOO_LARGE,
        MediaFault.TOO_LONG: pb.MISSING_REASON_MEDIA_TOO_LARGE,
        MediaFault.TOO_MANY_STREAMS: pb.MISSING_REASON_MEDIA_TOO_LARGE,
        MediaFault.RESOLUTION: pb.MISSING_REASON_MEDIA_TOO_LARGE,
        MediaFault.EMPTY: pb.MISSING_REASON_EMPTY,
    }
)


class MissingMediaError(Exception):
    """This modality of this utterance cannot be had; `reason` goes into the embedding's place."""

    def __init__(self, reason: pb.MissingReason) -> None:
        super().__init__(pb.MissingReason.Name(reason))
        self.reason = reason


def topic_of(modality: pb.Modality) -> Topic:
    """The topic that carries a modality's embeddings."""
    return EMBEDDING_TOPIC[modality]


def reason_of(error: MediaError) -> pb.MissingReason:
    """The contract's label for a fault that decoding found."""
    return _BY_FAULT[error.reason]


def present(
    context: pb.Context, modality: pb.Modality, vector: NDArray[np.float32], model: tuple[str, str], hop: pb.Hop
) -> Output:
    """An embedding: `vector` of any shape, sent as little-endian float32; `model` is (name, version)."""
    flat = np.ascontiguousarray(vector, dtype="<f4")
    message = pb.Embedding(
        context=context, modality=modality, vector=flat.tobytes(), shape=flat.shape,
        model_name=model[0], model_version=model[1], hops=[hop],
    )  # fmt: skip
    return output(topic_of(modality), message)


def missing(context: pb.Context, modality: pb.Modality, reason: pb.MissingReason, hop: pb.Hop) -> Output:
    """The typed absence of an embedding."""
    return output(topic_of(modality), pb.Embedding(context=context, modality=modality, missing=reason, hops=[hop]))


def vector_of(embedding: pb.Embedding) -> NDArray[np.float32]:
    """The embedding's vector in its shape, float32. Raises ValueError when bytes and shape disagree."""
    return np.frombuffer(embedding.vector, dtype="<f4").reshape(tuple(embedding.shape)).astype(np.float32, copy=False)
