"""From the parts of an utterance to its one `Features` record. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

from google.protobuf.message import Message

from multimood import topics
from multimood.bus.envelope import Event, Output, output
from multimood.contracts.v1 import events_pb2 as pb
from multimood.encoding import EMBEDDING_TOPIC, topic_of
from multimood.labels import label
from multimood.safety.risk import outranks

SERVICE = "joiner"

Parts = Mapping[str, Event[Message]]


def expected_modalities(utterance: pb.Utterance) -> list[pb.Modality]:
    """The modalities that will have an embedding: those announced, and text when speech came without it.

    For one that this version does not know there is no encoder, and nobody waits for it.
    """
    modalities = EMBEDDING_TOPIC.keys() & set(utterance.manifest)
    if pb.MODALITY_AUDIO in modalities:
        modalities.add(pb.MODALITY_TEXT)
    return sorted(modalities)


def needs_transcript(utterance: pb.Utterance) -> bool:
    """Tell whether the words come from the audio."""
    return pb.MODALITY_AUDIO in utterance.manifest and pb.MODALITY_TEXT not in utterance.manifest


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a manifest asks for; asked with every part that comes, so kept."""

    required: frozenset[str]
    modalities: tuple[tuple[pb.Modality, str], ...]
    has_language: bool


@lru_cache(maxsize=256)
def _plan(manifest: tuple[pb.Modality, ...]) -> _Plan:
    utterance = pb.Utterance(manifest=manifest)
    modalities = tuple((modality, topic_of(modality).name) for modality in expected_modalities(utterance))
    names = {topics.UTTERANCE.name, topics.SCREENING.name, *(name for _, name in modalities)}
    if needs_transcript(utterance):
        names.add(topics.TRANSCRIPT.name)
    return _Plan(frozenset(names), modalities, bool({pb.MODALITY_TEXT, pb.MODALITY_AUDIO} & set(manifest)))


def required(parts: Parts) -> Collection[str] | None:
    """Topics whose records make the utterance complete; None until the utterance itself, with its manifest, is here."""
    anchor = parts.get(topics.UTTERANCE.name)
    return None if anchor is None else _plan(tuple(cast("pb.Utterance", anchor.message).manifest)).required


def presence(utterance: pb.Utterance, missing: Iterable[pb.MissingModality]) -> Iterator[tuple[str, str]]:
    """Each modality that is waited for, and "present" or why it is missing."""
    reasons = {one.modality: one.reason for one in missing}
    for modality, _ in _plan(tuple(utterance.manifest)).modalities:
        reason = reasons.get(modality)
        yield (
            label(pb.Modality, modality, "MODALITY_"),
            "present" if reason is None else label(pb.MissingReason, reason, "MISSING_REASON_"),
        )


def prefer(new: Event[Message], old: Event[Message]) -> bool:
    """Of two parts of one kind, a vector beats a "missing" and a graver verdict a milder one; else the first stays."""
    if isinstance(new.message, pb.Screening) and isinstance(old.message, pb.Screening):
        return outranks(new.message.level, old.message.level)
    return bool(old.missing) and not new.missing


def joined_output(parts: Parts, hop: pb.Hop) -> Output:
    """Join the parts: a `Features` record. The same set of parts gives the same, in whatever order they came.

    The caller makes sure that the utterance is among them.
    """
    utterance = cast("pb.Utterance", parts[topics.UTTERANCE.name].message)
    plan = _plan(tuple(utterance.manifest))
    features = pb.FeaturesOfBytes(
        context=utterance.context,
        manifest=utterance.manifest,
        text=utterance.text,
        has_language=plan.has_language,
        hops=utterance.hops,
    )
    for modality, topic in plan.modalities:
        part = parts.get(topic)
        if part is None:
            features.missing.add(modality=modality, reason=pb.MISSING_REASON_DEADLINE)
        elif part.missing:
            features.missing.add(modality=modality, reason=part.missing)
            features.hops.extend(cast("pb.Embedding", part.message).hops)
        else:
            features.embeddings.append(part.value)
    transcript = parts.get(topics.TRANSCRIPT.name)
    if transcript is not None:
        heard = cast("pb.Transcript", transcript.message)
        features.text = utterance.text or heard.text
        features.hops.extend(heard.hops)
    screening = parts.get(topics.SCREENING.name)
    if screening is not None:
        features.screening = screening.value
    features.hops.append(hop)
    return output(topics.FEATURES, features)
