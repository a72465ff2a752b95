"""The records that the responder publishes. Pure."""

import hashlib
from collections.abc import Sequence

from multimood import topics
from multimood.bus.envelope import Output, output
from multimood.contracts.v1 import events_pb2 as pb
from multimood.generation import Ask, Token
from multimood.safety import VettedReply
from services.responder.attempts import SEEDS, Attempt
from services.responder.served import Chosen
from services.responder.writing import Progress

MOST_TOKENS = 8_192
"""Of a longer list nothing is told: the record must stay small enough to be sent."""


def seed_of(context: pb.Context) -> int:
    """The same utterance gets the same seed, so that a replay is likely to give the same reply."""
    name = f"{context.tenant}/{context.conversation_id}/{context.utterance_id}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % SEEDS


def delta(context: pb.Context, attempt: str, index: int, text: str) -> Output:
    """A piece of a reply."""
    message = pb.ReplyDelta(context=context, index=index, text=text, attempt=attempt)
    return output(topics.REPLY_DELTA, message, f"{attempt}/{index}")


def generated(decision: pb.Decision, text: str, made: pb.Reply) -> Output:
    """The model's reply; `made` has what is to be said of its making."""
    reply = pb.Reply(context=decision.context, text=text, source=pb.REPLY_SOURCE_GENERATED, strategy=decision.chosen)
    reply.MergeFrom(made)
    return output(topics.REPLY, reply)


def fallback(decision: pb.Decision, vetted: VettedReply, reason: str, made: pb.Reply) -> Output:
    """A vetted reply, and why; it follows no strategy."""
    reply = pb.Reply(
        context=decision.context, text=vetted.text, source=pb.REPLY_SOURCE_VETTED_FALLBACK, reason=reason,
        vetted_id=f"{vetted.id}@{vetted.version}",
    )  # fmt: skip
    reply.MergeFrom(made)
    return output(topics.REPLY, reply)


def about(
    chosen: Chosen,
    prompt_version: str,
    ask: Ask,
    made: Sequence[Attempt],
    sent: Attempt | None,
    *,
    received_at_us: int,
    texts: bool,
) -> pb.Reply:
    """What is logged of a generation, whether its reply left or not: of the attempt that is sent, else of the last.

    `texts`: the person allowed learning, so what was written and not sent is kept, too.
    """
    progress = sent.progress if sent else made[-1].progress if made else Progress()
    first = min((one.progress.first_token_at_us for one in made if one.progress.first_token_at_us), default=0)
    tokens = progress.tokens if len(progress.tokens) <= MOST_TOKENS else ()
    return pb.Reply(
        model_name=chosen.writer.name, model_version=progress.model_version, prompt_version=prompt_version,
        prompt_sha256=ask.sha256(), prompt_tokens=progress.prompt_tokens,
        completion_tokens=progress.completion_tokens, first_token_us=max(0, first - received_at_us) if first else 0,
        token_ids=_ids(tokens), token_log_probs=[token.log_prob for token in tokens],
        attempts=[one.record(sent, texts=texts) for one in made],
        model_assigned=chosen.assigned, rollout_step=chosen.step,
    )  # fmt: skip


def _ids(tokens: Sequence[Token]) -> list[int]:
    """All of them or none: a list with holes would not say which token an id belongs to."""
    ids = [token.id for token in tokens if token.id is not None]
    return ids if len(ids) == len(tokens) else []
