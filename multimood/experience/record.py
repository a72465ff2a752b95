"""From events to rows, and from several rows of one utterance to one. Pure.

A row has three parts: what was decided, what was replied, what was thought of it. They may become known at different
times, so a row may be written with a part missing and be completed later. Every value comes from records on Kafka:
whoever reads the same records again builds the same row.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from multimood.bus.envelope import utterance_name
from multimood.contracts.v1 import events_pb2 as pb
from multimood.experience.schema import PARTS, VERSION, Part, Row
from multimood.labels import label
from multimood.privacy.pseudonyms import Pseudonyms
from multimood.taxonomy import CRITERIA

END_OF_TIME_US: Final = 253_402_300_800_000_000
"""The year 10000. A time outside 1970..9999 becomes null: no calendar of the readers' tools could hold it."""
MOST_STEPS: Final = 2**31 - 1
"""A step, or a token's id, beyond what its column holds becomes null."""
SUM_TOLERANCE: Final = 1e-6
_FILLED: Final[Mapping[Part, str]] = {
    "decision": "has_decision",
    "reply": "has_reply",
    "trust": "reward_version",
}
"""The column that tells whether a part is there."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record lies on Kafka, and the time written into it (milliseconds since the epoch)."""

    partition: int
    offset: int
    timestamp_ms: int


def row_of(
    decision: pb.Decision | None = None,
    reply: pb.Reply | None = None,
    trust: pb.TrustScore | None = None,
    origin: Origin | None = None,
    *,
    pseudonyms: Pseudonyms,
) -> Row:
    """Build the row of an utterance from what is known of it; every column is there, null where nothing is known.

    `origin` is the reply's. Of the platform's ids only the pseudonyms are in it. Texts of what was said are among the
    values: the caller has checked the consent. Raises ValueError when nothing is known.
    """
    known = [message for message in (decision, reply, trust) if message is not None]
    if not known:
        raise ValueError("a row needs a decision, a reply or a trust score")
    context = known[0].context
    row: Row = {
        "schema_version": VERSION,
        "row_id": pseudonyms.row(utterance_name(context)),
        **pseudonyms.context(context),
        "pseudonym_key": pseudonyms.key_id,
        "subject": pseudonyms.subject(context).pseudonym,
        "occurred_at": _time(context.occurred_at_us),
        "locale": context.locale or "en",
        "learning_consent": context.privacy.learning_consent,
        "retention_class": context.privacy.retention_class or "standard",
        "has_decision": decision is not None,
        "has_reply": reply is not None,
        **(_decided(decision, pseudonyms) if decision is not None else dict.fromkeys(PARTS["decision"])),
        **(_replied(reply, origin) if reply is not None else dict.fromkeys(PARTS["reply"])),
        **(_scored(trust) if trust is not None else dict.fromkeys(PARTS["trust"])),
        "timings": _timings(hop for message in known for hop in message.hops),
    }
    return _derive(row)


def feedback_row(feedback: pb.Feedback, feedback_id: str, origin: Origin, *, pseudonyms: Pseudonyms) -> Row:
    """Build the row of a feedback. There is no content in it."""
    context = feedback.context
    return {
        "schema_version": VERSION,
        "feedback_id": pseudonyms.event(feedback_id),
        **pseudonyms.context(context),
        "given_at": _time(context.occurred_at_us) or _time(origin.timestamp_ms * 1000),
        "rating": feedback.rating if feedback.HasField("rating") else None,
        "intensity": feedback.intensity if feedback.HasField("intensity") else None,
        "source": feedback.source or None,
        "feedback_offset": origin.offset,
    }


def merge(old: Row, new: Row) -> Row:
    """Make one row of two of the same utterance: of every part the old one, the new one's where the old has none.

    Part by part, never value by value: a decision's distribution and choice stay those of one decision.
    """
    merged = {**new, **old}
    for part, filled in _FILLED.items():
        if not old[filled] and new[filled]:
            merged |= {name: new.get(name) for name in (filled, *PARTS[part])}
    if old["timings"] != new["timings"]:
        merged["timings"] = _in_order([*(old["timings"] or ()), *(new["timings"] or ())])
    return _derive(merged)


def unfit_reason(row: Row) -> str | None:
    """Tell why a row is unfit for off-policy evaluation; None when it is fit."""
    if not row["has_decision"]:
        return "no_decision"
    if not row["has_reply"]:
        return "no_reply"
    if row["override"] != "none":
        return "override"
    probabilities = {item["label"]: item["p"] or 0.0 for item in row["strategy"] or ()}
    sums_to_one = math.isclose(sum(probabilities.values()), 1.0, abs_tol=SUM_TOLERANCE)
    if not (0.0 < (row["propensity"] or 0.0) <= 1.0 and sums_to_one and probabilities.get(row["chosen"], 0.0) > 0.0):
        return "no_propensity"
    if row["reply_source"] != "generated" or row["reply_strategy"] not in {row["chosen"], None}:
        return "not_carried_out"
    return None


def _derive(row: Row) -> Row:
    reason = unfit_reason(row)
    return row | {"fit_for_ope": reason is None, "unfit_reason": reason}


def _decided(decision: pb.Decision, pseudonyms: Pseudonyms) -> Row:
    screened = decision.HasField("screening")
    screening, tenant = decision.screening, decision.context.tenant
    return {
        "step": decision.step if decision.step <= MOST_STEPS else None,
        "decided_at": _last(decision.hops),
        "modalities": [_modality(modality) for modality in decision.manifest],
        "missing": [
            {"modality": _modality(item.modality), "reason": label(pb.MissingReason, item.reason, "MISSING_REASON_")}
            for item in decision.missing
        ],
        "screening_level": label(pb.RiskLevel, screening.level, "RISK_LEVEL_") if screened else None,
        "screening_rules": list(screening.rules) if screened else None,
        "screening_score": screening.score if screened else None,
        "screening_version": screening.version if screened else None,
        "user_emotion": _distribution(decision.user_emotion),
        "modality_emotions": [
            {"modality": _modality(item.modality), "emotion": _distribution(item.emotion)}
            for item in decision.modality_emotions
        ],
        "intensity": decision.intensity,
        "stage": decision.stage or None,
        "system_emotion": _distribution(decision.system_emotion),
        "strategy": _distribution(decision.strategy),
        "chosen": decision.chosen or None,
        "propensity": decision.propensity,
        "override": label(pb.Override, decision.override, "OVERRIDE_"),
        "policy_version": decision.policy_version,
        "models": [
            {"name": model.name, "version": model.version, "sha256": model.sha256.hex() or None}
            for model in decision.models
        ],
        "dialogue": [
            {
                "role": label(pb.Role, turn.role, "ROLE_"),
                "text": turn.text,
                "utterance_id": pseudonyms.utterance(tenant, turn.utterance_id) if turn.utterance_id else None,
                "label": turn.label or None,
            }
            for turn in decision.dialogue
        ],
        "state": list(decision.state) or None,
        "state_version": decision.state_version or None,
        "eligible": list(decision.eligible) or None,
        "explored": decision.explored if decision.chosen and decision.exploration else None,
        "exploration": decision.exploration or None,
        "policy_sha256": decision.policy_sha256.hex() or None,
        "dialogue_sealed": None,
    }


def _replied(reply: pb.Reply, origin: Origin | None) -> Row:
    return {
        "replied_at": _last(reply.hops) or (_time(origin.timestamp_ms * 1000) if origin else None),
        "reply_text": reply.text,
        "reply_source": label(pb.ReplySource, reply.source, "REPLY_SOURCE_"),
        "reply_reason": reply.reason or None,
        "reply_vetted_id": reply.vetted_id or None,
        "reply_strategy": reply.strategy or None,
        "reply_model": reply.model_name or None,
        "reply_model_version": reply.model_version or None,
        "prompt_version": reply.prompt_version or None,
        "prompt_sha256": reply.prompt_sha256.hex() or None,
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "first_token_us": reply.first_token_us or None,
        "reply_partition": origin.partition if origin else None,
        "reply_offset": origin.offset if origin else None,
        "token_ids": [one if one <= MOST_STEPS else None for one in reply.token_ids] or None,
        "token_log_probs": list(reply.token_log_probs) or None,
        "reply_attempts": [_attempt(attempt) for attempt in reply.attempts] or None,
        "reply_sealed": None,
        "attempt_texts": [{"index": min(one.index, MOST_STEPS), "text": one.text} for one in reply.attempts if one.text]
        or None,
    }


def _attempt(attempt: pb.Attempt) -> dict[str, Any]:
    return {
        "index": min(attempt.index, MOST_STEPS),
        "faults": list(attempt.faults),
        "score": attempt.score if attempt.HasField("score") else None,
        "sent": attempt.sent,
        "completion_tokens": attempt.completion_tokens,
    }


def _scored(trust: pb.TrustScore) -> Row:
    given = {item.criterion: item for item in trust.scores if item.HasField("score")}
    return {
        **{f"score_{name}": given[name].score if name in given else None for name in CRITERIA},
        "judges": [
            {"criterion": name, "judge": given[name].judge, "judge_version": given[name].judge_version}
            for name in CRITERIA
            if name in given
        ],
        "reward": trust.reward if trust.HasField("reward") else None,
        "reward_version": trust.reward_version,
        "crisis_gate_failed": trust.crisis_gate_failed,
        "scored_at": _last(trust.hops),
        "panel": [
            {"judge": seat.judge, "judge_version": seat.judge_version, "criteria": list(seat.criteria)}
            for seat in trust.panel
        ]
        or None,
        "absent_judges": [{"judge": one.judge, "reason": one.reason} for one in trust.absent] or None,
    }


def _modality(modality: pb.Modality) -> str:
    return label(pb.Modality, modality, "MODALITY_")


def _distribution(probabilities: Iterable[pb.Probability]) -> list[dict[str, Any]]:
    return [{"label": item.label, "p": item.p} for item in probabilities]


def _time(us: int) -> int | None:
    return us if 0 < us < END_OF_TIME_US else None


def _last(hops: Sequence[pb.Hop]) -> int | None:
    return _time(max((hop.produced_at_us for hop in hops), default=0))


def _timings(hops: Iterable[pb.Hop]) -> list[dict[str, Any]]:
    return _in_order(
        {
            "service": hop.service,
            "received_at": _time(hop.received_at_us),
            "produced_at": _time(hop.produced_at_us),
            "model_us": hop.model_us,
        }
        for hop in hops
    )


def _in_order(timings: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    unique = {
        (us_of(one["received_at"]), us_of(one["produced_at"]), one["service"], one["model_us"]): dict(one)
        for one in timings
    }
    return [unique[key] for key in sorted(unique)]


def us_of(time: int | datetime | None) -> int:
    """Microseconds since the epoch of a row's time, in either of its forms; 0 for null."""
    if isinstance(time, datetime):
        return (time - _EPOCH) // timedelta(microseconds=1)
    return time or 0
