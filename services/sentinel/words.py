"""What there is to screen in an event. Pure."""

from dataclasses import dataclass

from multimood.contracts.v1 import events_pb2 as pb
from multimood.labels import label

NO_LANGUAGE = "no_language"
NO_WORDS = "no_words"


@dataclass(frozen=True, slots=True)
class Wordless:
    """There is nothing to read; `rule` says why."""

    level: pb.RiskLevel
    rule: str


def words_of(message: pb.Utterance | pb.Transcript) -> str | Wordless | None:
    """The words, or what it means that there are none; None while they are still to come as a transcript."""
    if message.text.strip():
        return message.text
    if isinstance(message, pb.Transcript):
        reason = label(pb.MissingReason, message.missing or pb.MISSING_REASON_EMPTY, "MISSING_REASON_")
        return Wordless(pb.RISK_LEVEL_UNSCREENED, f"{NO_WORDS}.{reason}")
    if pb.MODALITY_TEXT in message.manifest:  # announced and empty: nobody transcribes beside it
        return Wordless(pb.RISK_LEVEL_UNSCREENED, f"{NO_WORDS}.empty")
    if pb.MODALITY_AUDIO in message.manifest:
        return None
    return Wordless(pb.RISK_LEVEL_NONE, NO_LANGUAGE)
