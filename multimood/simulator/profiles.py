"""Who the simulated seekers are: profiles decide how they take support, roles what they talk about.

All of it is made up. Profiles are of the kinds that supporters tell of; no person and no corpus stands behind them.
"""

from dataclasses import dataclass
from typing import Final, Literal

Manner = Literal["open", "guarded", "short", "worried", "practical", "tired"]


@dataclass(frozen=True, slots=True)
class Profile:
    """What is true of a seeker for a whole conversation, and the means of how it begins. All numbers are 0..1."""

    name: str
    share: float
    """Of all seekers."""
    distress: float
    alliance: float
    """Trust in the one who helps."""
    readiness: float
    """To look for solutions: the stage, as it is in the seeker."""
    resistance: float
    openness: float
    emotion: str
    """The one that shows in distress."""
    manner: Manner
    """How they talk."""


PROFILES: Final = (
    Profile("cooperative", 0.30, 0.62, 0.50, 0.30, 0.10, 0.80, "sadness", "open"),
    Profile("resistant", 0.20, 0.66, 0.28, 0.25, 0.80, 0.35, "anger", "guarded"),
    Profile("silent", 0.12, 0.58, 0.35, 0.20, 0.40, 0.25, "depression", "short"),
    Profile("anxious", 0.16, 0.72, 0.45, 0.30, 0.25, 0.65, "fear", "worried"),
    Profile("practical", 0.12, 0.50, 0.45, 0.60, 0.30, 0.50, "neutral", "practical"),
    Profile("low", 0.10, 0.74, 0.38, 0.15, 0.30, 0.40, "depression", "tired"),
)
NAMES: Final = tuple(profile.name for profile in PROFILES)

ROLES: Final = ("employee", "student", "carer", "partner", "parent")
"""What is on the seeker's mind: work, exams, an ill parent, a separation, a small child."""
