"""What a simulated seeker says, composed from templates by what is on their mind, how they feel and how they take it.

Real encoders are to see real text, so the words carry the hidden state as people's do: not always, and not in numbers.
Nobody in here speaks of harming themselves or others; crises have tests of their own.
"""

from typing import Final

import numpy as np

from multimood.simulator.profiles import PROFILES, ROLES, Manner
from multimood.simulator.seekers import Seekers

_TOPIC: Final = {
    "employee": (
        "They gave my project to somebody else last week.",
        "My manager hardly speaks to me any more.",
        "I have been working late every night and nobody notices.",
    ),
    "student": (
        "The exams start in nine days and I have barely begun.",
        "I failed the statistics paper a second time.",
        "Everyone else in my course seems to know what they are doing.",
    ),
    "carer": (
        "My father did not recognise me on Sunday.",
        "I am the one who drives Mum to every appointment.",
        "My brother says I should just find a home for her.",
    ),
    "partner": (
        "We have been apart for a month now and the flat is so quiet.",
        "He picked up the last of his things yesterday.",
        "I keep opening our old messages.",
    ),
    "parent": (
        "The baby woke up six times again last night.",
        "I shouted at my little one this morning over a spilled cup.",
        "I love my daughter, and I miss having one hour to myself.",
    ),
}
_FEELING: Final = {
    "sadness": (
        "I feel a bit low about it.",
        "It makes me really sad, and I cry more than I used to.",
        "It hurts so much that I cannot think of anything else.",
    ),
    "anger": (
        "It annoys me.",
        "It makes me angry, honestly, and I have had enough.",
        "I am furious, I could scream at all of them.",
    ),
    "depression": (
        "I am a little flat these days.",
        "I am tired and slow, and I put everything off.",
        "I am flat from morning to evening and nothing is any fun.",
    ),
    "fear": (
        "I worry about it now and then.",
        "I am anxious all day, my heart races when I think of it.",
        "I am terrified, I cannot sleep and my hands will not stop shaking.",
    ),
    "neutral": (
        "I can live with it.",
        "It is wearing me down more than I expected.",
        "I am sick and tired of the whole thing.",
    ),
}
_STANCE: Final[dict[Manner, tuple[str, str, str]]] = {
    "open": (
        "I am not sure where to begin.",
        "It helps a little to say this to someone.",
        "Thank you for listening, I feel you understand me.",
    ),
    "guarded": (
        "I do not see what talking to you is supposed to change.",
        "Fine, I will try to explain it, but do not give me advice.",
        "All right. You seem to get it better than I thought.",
    ),
    "short": ("I do not know.", "I guess.", "Yes. That is about it."),
    "worried": (
        "What if it only gets worse?",
        "Do you think that is normal?",
        "It calms me a bit that you are here.",
    ),
    "practical": (
        "I would rather talk about facts.",
        "So what do people do in such a case?",
        "That is useful, let us go on like this.",
    ),
    "tired": (
        "I am slow today, sorry.",
        "I am trying, even if it does not look like it.",
        "It is good that somebody asks.",
    ),
}
_READY: Final = (
    "",
    "Maybe something has to change.",
    "I think I am ready to do something about it. Where could I start?",
)
_THIRDS: Final = (0.4, 0.65)
_SLIP: Final = 0.1
"""How often a part of it is said one degree stronger or weaker than it is."""


def utterance(seekers: Seekers, number: int, step: int, rng: np.random.Generator) -> str:
    """What seeker `number` says in turn `step` (from 0)."""
    profile = PROFILES[seekers.profile[number]]
    topic = _TOPIC[ROLES[seekers.role[number]]]
    feeling = _FEELING[profile.emotion][_degree(seekers.distress[number], rng)]
    stance = _STANCE[profile.manner][_degree(seekers.alliance[number], rng)]
    ready = _READY[_degree(seekers.readiness[number], rng)]
    if profile.manner == "short":
        said = [topic[0], feeling] if step == 0 else [feeling if rng.random() < 0.5 else "", stance]  # noqa: PLR2004
    else:
        said = [topic[step % len(topic)], feeling, stance, ready]
    return " ".join(part for part in said if part)


def _degree(level: float, rng: np.random.Generator) -> int:
    exact = int(np.digitize(level, _THIRDS))
    slip = int(rng.choice([0, -1, 1], p=[1 - 2 * _SLIP, _SLIP, _SLIP]))
    return min(max(exact + slip, 0), len(_READY) - 1)
