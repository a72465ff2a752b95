"""Which topics a service reads and writes: what its account at the broker is allowed, and nothing beyond.

The consumer groups are told by `READERS`; here is what comes on top: outputs, what is read back after taking a
partition over, what is followed without a group, and the dead letters of what a service consumes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from multimood import topics
from multimood.errors import ConfigurationError
from multimood.topics import BY_NAME, GIVES_UP, READERS, Topic

WRITERS: Final[Mapping[str, tuple[Topic, ...]]] = MappingProxyType(
    {
        "gateway": (topics.UTTERANCE, topics.FEEDBACK, topics.ACKNOWLEDGEMENT),
        "sentinel": (topics.SCREENING, topics.ESCALATION, topics.REPLY),
        "text_encoder": (topics.EMBEDDING_TEXT,),
        "audio_encoder": (topics.EMBEDDING_AUDIO, topics.TRANSCRIPT),
        "video_encoder": (topics.EMBEDDING_VIDEO,),
        "joiner": (topics.FEATURES,),
        "strategist": (topics.DECISION, topics.CONVERSATION, topics.ESCALATION),
        "responder": (topics.REPLY_DELTA, topics.REPLY),
        "reward": (topics.TRUST,),
    }
)
"""The topics of a service's outputs."""
READ_BACK: Final[Mapping[str, tuple[Topic, ...]]] = MappingProxyType(
    {
        "sentinel": (topics.SCREENING,),
        "text_encoder": (topics.EMBEDDING_TEXT,),
        "audio_encoder": (topics.EMBEDDING_AUDIO,),
        "video_encoder": (topics.EMBEDDING_VIDEO,),
        "joiner": (topics.FEATURES,),
        "strategist": (topics.CONVERSATION, topics.DECISION, topics.ESCALATION),
        "reward": (topics.TRUST,),
    }
)
"""What a service reads without its group: its own outputs, after taking a partition over."""
FOLLOWED: Final = (
    topics.UTTERANCE, topics.DECISION, topics.REPLY_DELTA, topics.REPLY, topics.ESCALATION, topics.TRUST,
    topics.ERASURE,
)  # fmt: skip
"""What the gateway reads to tell a caller the outcome; beside these, the dead letters after which none can come."""


@dataclass(frozen=True, slots=True)
class Access:
    """Names of topics, sorted."""

    reads: tuple[str, ...]
    writes: tuple[str, ...]
    has_group: bool
    """Whether it consumes in the group <prefix>.<service>."""


def access_of(service: str) -> Access:
    """What a service (the name of a folder in services/) needs at the broker.

    Raises:
        ConfigurationError: there is no such service.
    """
    if service not in WRITERS:
        raise ConfigurationError(f"no such service: {service}; there are {', '.join(WRITERS)}")
    consumes = {name for name, readers in READERS.items() if service in readers}
    reads = consumes | {topic.name for topic in READ_BACK.get(service, ())}
    if service == "gateway":
        reads |= {topic.name for topic in FOLLOWED} | set(GIVES_UP)
    letters = {BY_NAME[name].dead_letters for name in consumes}
    writes = {topic.name for topic in WRITERS[service]} | letters
    return Access(tuple(sorted(reads)), tuple(sorted(writes)), bool(consumes))
