"""Who may do what on the brokers: the one place that says what each service reads and writes. Pure.

`multimood topics acls` prints it, the Kubernetes manifests and the tests on a broker that forbids all else are made
from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from multimood import topics
from multimood.topics import GIVES_UP, TOPICS, Topic

Kind = Literal["topic", "group"]
Pattern = Literal["literal", "prefix"]
PREFIX: Final = "multimood."
"""With it every topic of ours begins."""
READING: Final = ("Describe", "Read")
WRITING: Final = ("Describe", "Write")


@dataclass(frozen=True, slots=True)
class Access:
    """What a service does on the brokers. None uses transactions, or needs a right on the cluster."""

    consumes: tuple[Topic, ...] = ()
    """In its consumer group. What it cannot process goes to their dead letters."""
    looks_into: tuple[Topic, ...] = ()
    """Reads without a group: what it published before, what others decide."""
    writes: tuple[Topic, ...] = ()
    follows_letters: tuple[str, ...] = ()
    """Dead-letter topics that it reads without a group."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of all topics that it reads."""
        return _names((*self.consumes, *self.looks_into)) + self.follows_letters

    @property
    def written(self) -> tuple[str, ...]:
        """Names of all topics that it writes."""
        return _names(self.writes) + tuple(topic.dead_letters for topic in self.consumes)


@dataclass(frozen=True, slots=True)
class Acl:
    """What is allowed on a resource, in Kafka's words."""

    kind: Kind
    name: str
    operations: tuple[str, ...]
    pattern: Pattern = "literal"


ACCESS: Final[Mapping[str, Access]] = MappingProxyType(
    {
        "gateway": Access(
            looks_into=(
                topics.UTTERANCE,
                topics.DECISION,
                topics.REPLY_DELTA,
                topics.REPLY,
                topics.ESCALATION,
                topics.TRUST,
                topics.ERASURE,
            ),
            follows_letters=tuple(GIVES_UP),
            writes=(topics.UTTERANCE, topics.FEEDBACK, topics.ACKNOWLEDGEMENT),
        ),
        "sentinel": Access(
            consumes=(
                topics.UTTERANCE,
                topics.TRANSCRIPT,
                topics.REPLY,
                topics.ESCALATION,
                topics.ACKNOWLEDGEMENT,
                topics.ERASURE,
            ),
            looks_into=(topics.SCREENING,),
            writes=(topics.SCREENING, topics.ESCALATION, topics.REPLY),
        ),
        "text_encoder": Access(
            consumes=(topics.UTTERANCE, topics.TRANSCRIPT),
            looks_into=(topics.EMBEDDING_TEXT,),
            writes=(topics.EMBEDDING_TEXT,),
        ),
        "audio_encoder": Access(
            consumes=(topics.UTTERANCE,),
            looks_into=(topics.EMBEDDING_AUDIO,),
            writes=(topics.EMBEDDING_AUDIO, topics.TRANSCRIPT),
        ),
        "video_encoder": Access(
            consumes=(topics.UTTERANCE,),
            looks_into=(topics.EMBEDDING_VIDEO,),
            writes=(topics.EMBEDDING_VIDEO,),
        ),
        "joiner": Access(
            consumes=(topics.UTTERANCE, topics.SCREENING, topics.TRANSCRIPT, *topics.EMBEDDINGS),
            looks_into=(topics.FEATURES,),
            writes=(topics.FEATURES,),
        ),
        "strategist": Access(
            consumes=(topics.FEATURES, topics.REPLY, topics.ERASURE),
            looks_into=(topics.CONVERSATION, topics.DECISION, topics.ESCALATION, topics.ROLLOUT),
            writes=(topics.DECISION, topics.CONVERSATION, topics.ESCALATION),
        ),
        "responder": Access(
            consumes=(topics.DECISION, topics.REPLY),
            looks_into=(topics.ROLLOUT,),
            writes=(topics.REPLY_DELTA, topics.REPLY),
        ),
        "reward": Access(
            consumes=(topics.DECISION, topics.REPLY, topics.FEEDBACK),
            looks_into=(topics.TRUST,),
            writes=(topics.TRUST,),
        ),
    }
)
TOOLS: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = MappingProxyType(
    {
        # On the topics of ours, on the groups of ours.
        "topics": (("Create", "Describe", "DescribeConfigs"), ()),
        "operator": (
            ("AlterConfigs", "Create", "Delete", "Describe", "DescribeConfigs", "Read", "Write"),
            ("Describe", "Read"),
        ),
        "keda": (("Describe",), ("Describe",)),
    }
)
"""`multimood topics apply`; an operator with all commands (`dlq`, `erase`, `check` ...); who scales on lag."""
NAMES: Final = (*ACCESS, *TOOLS)
READERS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        topic.name: readers
        for topic in TOPICS
        if (readers := tuple(name for name, access in ACCESS.items() if topic in access.consumes))
    }
)
"""The services whose consumer groups read a topic (followers, which have none, are not among them)."""


def acls_of(name: str, group_prefix: str = "multimood") -> tuple[Acl, ...]:
    """What a service, or a tool, needs and no more. Raises KeyError for a name that is not in NAMES."""
    if name in TOOLS:
        on_topics, on_groups = TOOLS[name]
        groups = (Acl("group", f"{group_prefix}.", on_groups, "prefix"),) if on_groups else ()
        return (*groups, Acl("topic", PREFIX, on_topics, "prefix"))
    access = ACCESS[name]
    group = (Acl("group", f"{group_prefix}.{name}", READING),) if access.consumes else ()
    reads, written = set(access.reads), set(access.written)
    return group + tuple(
        Acl("topic", topic, tuple(sorted({*(READING * (topic in reads)), *(WRITING * (topic in written))})))
        for topic in sorted(reads | written)
    )


def strimzi(acl: Acl) -> dict[str, object]:
    """An entry of `spec.authorization.acls` of a Strimzi KafkaUser."""
    resource = {"type": acl.kind, "name": acl.name, "patternType": acl.pattern}
    return {"resource": resource, "operations": list(acl.operations), "host": "*"}


def _names(found: tuple[Topic, ...]) -> tuple[str, ...]:
    return tuple(topic.name for topic in found)
