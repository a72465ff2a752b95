"""Risk levels: the screener's words for them and the contract's, and which of two verdicts counts."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from multimood.contracts.v1 import events_pb2 as pb
from multimood.safety.verdict import Level, Verdict

RISK: Final[Mapping[Level, pb.RiskLevel]] = MappingProxyType(
    {
        "none": pb.RISK_LEVEL_NONE,
        "low": pb.RISK_LEVEL_LOW,
        "elevated": pb.RISK_LEVEL_ELEVATED,
        "imminent": pb.RISK_LEVEL_IMMINENT,
    }
)
_LEVEL: Final[Mapping[pb.RiskLevel, Level]] = MappingProxyType({risk: level for level, risk in RISK.items()})
# The numbers of the contract are no order: UNSCREENED has the highest and says the least.
_ORDER: Final = (pb.RISK_LEVEL_UNSPECIFIED, pb.RISK_LEVEL_UNSCREENED, *_LEVEL)


def is_crisis(level: pb.RiskLevel) -> bool:
    """Whether the person gets the vetted reply of the sentinel and nothing else."""
    return level in {pb.RISK_LEVEL_ELEVATED, pb.RISK_LEVEL_IMMINENT}


def outranks(new: pb.RiskLevel, old: pb.RiskLevel) -> bool:
    """Whether a verdict replaces another on its utterance: a graver one, and any on words where there were none."""
    return _place(new) > _place(old)


def verdict_of(screening: pb.Screening) -> Verdict | None:
    """What the sentinel thought of the words; None when it had none, or in a level that this version does not know."""
    level = _LEVEL.get(screening.level)
    if level is None:
        return None
    return Verdict(level, tuple(screening.rules), screening.score, screening.version)


def _place(level: pb.RiskLevel) -> int:
    return _ORDER.index(level) if level in _ORDER else 0
