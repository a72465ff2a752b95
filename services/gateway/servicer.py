"""The five calls of the contract."""

import hashlib
import logging
import math
import time
from collections.abc import AsyncIterator
from typing import Any, NoReturn

import grpc
from opentelemetry import trace

from multimood import topics
from multimood.bus import event_id, output
from multimood.contracts.v1 import events_pb2 as pb
from multimood.contracts.v1 import gateway_pb2 as gw
from multimood.contracts.v1 import gateway_pb2_grpc
from multimood.errors import MultimoodError
from multimood.labels import label
from multimood.telemetry import meter, span_link, tracer
from services.gateway.accept import Acceptor
from services.gateway.acknowledgement import check_acknowledgement, check_names_its_escalation
from services.gateway.auth import Authenticator
from services.gateway.ingest import first_part
from services.gateway.narration import Narration
from services.gateway.outcomes import Outcome, Outcomes
from services.gateway.refusals import (
    InvalidRequestError,
    OverLimitError,
    RefusedCallError,
    ReplyTimeoutError,
    status_of,
)
from services.gateway.settings import GatewaySettings
from services.gateway.turn import Key, Turn, check_feedback, check_id, check_turn

logger = logging.getLogger(__name__)

_refused = meter().create_counter("multimood.gateway.refused", description="Calls answered with an error, by reason")
_first_token = meter().create_histogram(
    "multimood.gateway.first_token.duration", unit="ms", description="Call received to first piece of the reply sent"
)
_reply = meter().create_histogram(
    "multimood.gateway.reply.duration", unit="ms", description="Call received to reply sent"
)


class GatewayServicer(gateway_pb2_grpc.GatewayServicer):
    """Authenticates, admits, and hands on; every refusal is a status with a message that says what to do."""

    def __init__(self, settings: GatewaySettings, keys: Authenticator, acceptor: Acceptor, outcomes: Outcomes) -> None:
        self._settings = settings
        self._keys = keys
        self._acceptor = acceptor
        self._outcomes = outcomes

    async def Converse(  # noqa: N802
        self, request_iterator: AsyncIterator[gw.ConverseRequest], context: Any
    ) -> AsyncIterator[gw.ConverseResponse]:
        """One turn: accepts the utterance, then tells what becomes of it until the reply is there."""
        started = time.monotonic()
        try:
            turn = await self._turn(request_iterator, context)
            span = self._span("gateway.converse", turn, context)
            try:
                with self._outcomes.watch(turn.key) as watch:
                    with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                        duplicate = await self._acceptor.accept(turn, request_iterator)
                    utterance_id = turn.key.utterance_id
                    yield gw.ConverseResponse(accepted=gw.Accepted(utterance_id=utterance_id, duplicate=duplicate))
                    narration = self._narration(turn, started)
                    while True:
                        for response in narration.news(watch.outcome, time.monotonic()):
                            yield response
                            _measure(response, narration, started, span)
                        patience_s = narration.patience_s(time.monotonic())
                        if patience_s is None:
                            break
                        if patience_s <= 0:
                            raise ReplyTimeoutError(
                                f"utterance {utterance_id} is accepted, but has no reply after "
                                f"{self._settings.reply_timeout_s:g} s: ask by GetReply, or send it again under this id"
                            )
                        await watch.wait(patience_s)
            finally:
                span.end()
        except MultimoodError as error:
            await _abort(context, error)

    async def Publish(  # noqa: N802
        self, request_iterator: AsyncIterator[gw.ConverseRequest], context: Any
    ) -> gw.PublishResponse:
        """Accept an utterance; its reply is for GetReply or for whoever reads the topic."""
        try:
            turn = await self._turn(request_iterator, context)
            span = self._span("gateway.publish", turn, context)
            with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
                duplicate = await self._acceptor.accept(turn, request_iterator)
        except MultimoodError as error:
            await _abort(context, error)
        return gw.PublishResponse(accepted=gw.Accepted(utterance_id=turn.key.utterance_id, duplicate=duplicate))

    async def GetReply(self, request: gw.GetReplyRequest, context: Any) -> gw.GetReplyResponse:  # noqa: N802
        """Tell the outcome, waiting for it as long as asked. One's own unknown utterance and another's are the same."""
        try:
            tenant = self._admit(context)
            key = Key(
                tenant,
                check_id("conversation_id", request.conversation_id),
                check_id("utterance_id", request.utterance_id),
            )
            if not (math.isfinite(request.wait_s) and request.wait_s >= 0):
                raise InvalidRequestError(
                    "wait_s", f"{request.wait_s:g}", "send the seconds to wait, 0 to answer at once"
                )
        except MultimoodError as error:
            await _abort(context, error)
        until = time.monotonic() + min(request.wait_s, self._settings.reply_timeout_s)
        with self._outcomes.watch(key) as watch:
            while not _is_final(watch.outcome) and await watch.wait(until - time.monotonic()):
                pass
            return _reply_of(watch.outcome)

    async def SendFeedback(self, request: gw.SendFeedbackRequest, context: Any) -> gw.SendFeedbackResponse:  # noqa: N802
        """Publish a rating. The same feedback sent twice is one event."""
        try:
            feedback = check_feedback(request, self._admit(context))
            said = feedback.context
            name = f"{said.tenant}/{said.conversation_id}/{said.utterance_id}"
            part = hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()
            with tracer().start_as_current_span("gateway.feedback", attributes=_attributes(said)):
                await self._acceptor.bus.publish(topics.FEEDBACK, feedback, event_id(name, topics.FEEDBACK, part))
        except MultimoodError as error:
            await _abort(context, error)
        return gw.SendFeedbackResponse()

    async def Acknowledge(self, request: gw.AcknowledgeRequest, context: Any) -> gw.AcknowledgeResponse:  # noqa: N802
        """Publish that a human has taken an escalation over. Said twice it is two events that mean the same."""
        try:
            taken = check_acknowledgement(request, self._admit(context))
            said = taken.context
            outcome = self._outcomes.get(Key(said.tenant, said.conversation_id, said.utterance_id))
            check_names_its_escalation(request, outcome)
            with tracer().start_as_current_span("gateway.acknowledge", attributes=_attributes(said)):
                part = f"{taken.escalation_id}/{taken.acknowledged_at_us}"
                out = output(topics.ACKNOWLEDGEMENT, taken, part)
                await self._acceptor.bus.publish(out.topic, taken, out.id)
        except MultimoodError as error:
            await _abort(context, error)
        return gw.AcknowledgeResponse()

    def _admit(self, context: Any) -> str:
        """Give the caller's tenant and count the call. Raises UnauthenticatedError, OverLimitError."""
        tenant = self._keys.tenant(context.invocation_metadata())
        self._acceptor.tenants.admit_call(tenant)
        return tenant

    async def _turn(self, parts: AsyncIterator[gw.ConverseRequest], context: Any) -> Turn:
        tenant = self._admit(context)
        limits = self._acceptor.limits
        return check_turn(await first_part(parts, limits), tenant, limits, self._acceptor.store.media_bucket)

    def _narration(self, turn: Turn, started: float) -> Narration:
        return Narration(turn.wait_for_trust, self._settings.reply_timeout_s, self._settings.trust_timeout_s, started)

    @staticmethod
    def _span(name: str, turn: Turn, context: Any) -> trace.Span:
        """Start the root span of an utterance, linked to the caller's own trace if it has one."""
        metadata = dict(context.invocation_metadata() or ())
        link = span_link(str(metadata.get("traceparent", "")))
        return tracer().start_span(
            name, trace.set_span_in_context(trace.INVALID_SPAN), trace.SpanKind.SERVER, _attributes(turn.context),
            [link] if link else None,
        )  # fmt: skip


def _attributes(context: pb.Context) -> dict[str, str]:
    return {"multimood.tenant": context.tenant, "multimood.utterance_id": context.utterance_id}


def _measure(response: gw.ConverseResponse, narration: Narration, started: float, span: trace.Span) -> None:
    elapsed_ms = (time.monotonic() - started) * 1000
    part = response.WhichOneof("part")
    if part == "reply":
        _reply.record(elapsed_ms, {"source": label(pb.ReplySource, response.reply.source, "REPLY_SOURCE_")})
        span.add_event("reply")
    if (part == "delta" and narration.deltas_told == 1) or (part == "reply" and not narration.deltas_told):
        _first_token.record(elapsed_ms)
        span.add_event("first token")


def _is_final(outcome: Outcome | None) -> bool:
    return outcome is not None and (outcome.reply is not None or outcome.rejected is not None)


def _reply_of(outcome: Outcome | None) -> gw.GetReplyResponse:
    known = outcome or Outcome()
    return gw.GetReplyResponse(
        reply=known.reply, decision=known.decision, escalation=known.escalation, trust=known.trust,
        rejected=known.rejected,
    )  # fmt: skip


async def _abort(context: Any, error: MultimoodError) -> NoReturn:
    """Answer with the error's status."""
    reason = error.limit if isinstance(error, OverLimitError) else error.code
    _refused.add(1, {"reason": reason})
    retry_after_s = error.retry_after_s if isinstance(error, RefusedCallError) else None
    status = status_of(error)
    if status is grpc.StatusCode.UNAVAILABLE:
        retry_after_s = 1.0
    metadata = (("retry-after", f"{math.ceil(retry_after_s)}"),) if retry_after_s is not None else ()
    await context.abort(status, str(error), metadata)
    raise AssertionError("abort raises")
