"""The joiner on the bus: parts in, features out, all of an utterance's records acknowledged together."""

import logging

from opentelemetry import trace

from multimood import topics
from multimood.bus import Bus, Delivery, HopClock, JoinedParts, Joining, Part
from multimood.bus.acks import Limits
from multimood.bus.delivery import Said
from multimood.bus.joining import RECOVERED_IDS
from multimood.join import Join
from multimood.telemetry import Tally, current_traceparent, remote_context, span_link, tracer
from services.joiner.features import SERVICE, joined_output, prefer, presence, required
from services.joiner.settings import JoinerSettings

logger = logging.getLogger(__name__)

_modalities = Tally("multimood_joined_modalities", "Modalities of joined utterances", ("modality", "presence"))

INPUTS = (topics.UTTERANCE, topics.SCREENING, topics.TRANSCRIPT, *topics.EMBEDDINGS)


def says(joined: JoinedParts) -> Said | None:
    """The features of a joined utterance; parts whose utterance never came are dropped."""
    anchor = joined.parts.get(topics.UTTERANCE.name)
    if anchor is None:
        logger.warning("parts without their utterance", extra={"parts": sorted(joined.parts)})
        return None
    last = max([part.received_at_us for part in joined.parts.values()])
    out = joined_output(joined.parts, HopClock(SERVICE, last if joined.complete else anchor.received_at_us).hop())
    for found in presence(anchor.message, out.message.missing):  # type: ignore[arg-type, attr-defined]
        _modalities.add(*found)
    context = remote_context(anchor.traceparent)
    if context is None:
        return out, ""
    links = [link for part in joined.parts.values() if (link := span_link(part.traceparent)) is not None]
    attributes = {
        "multimood.utterance_id": out.message.context.utterance_id,  # type: ignore[attr-defined]
        "multimood.complete": joined.complete,
    }
    with tracer().start_as_current_span("joiner features", context, trace.SpanKind.INTERNAL, attributes, links):
        return out, current_traceparent()


def processor(bus: Bus, settings: JoinerSettings) -> Joining:
    """The joiner's processor."""
    join: Join[Part, Delivery] = Join(
        required,
        deadline_s=settings.deadline_s,
        orphan_s=settings.orphan_s,
        capacity=settings.capacity,
        prefer=prefer,
    )
    return Joining(
        SERVICE,
        bus,
        join,
        says=says,
        owns=(topics.UTTERANCE, topics.SCREENING, *topics.EMBEDDINGS),
        recovers=((topics.FEATURES, RECOVERED_IDS),),
        # So that what topics have read ahead of each other fits: else parts are let go, and a backlog loses verdicts.
        limits=Limits(records=settings.waiting_records, together=settings.capacity // 2),
    )
