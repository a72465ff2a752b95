"""Who is played: personas of people in distress, and what they have in common with others (slices)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from multimood.errors import ConfigurationError
from multimood.evaluation.vera.rows import rows_of

ASSET: Final = "vera_personas.tsv"
NAME, RISK, REACTION = "Name", "Current Risk Level", "Reaction to Chatbot Responses"
DISCLOSURE, STRESSORS, PROMPTS = "Disclosure of Suicide Risk", "Recent Stressors/Risk Factors", "Sample Prompts"
_RESISTS: Final = re.compile(
    r"\b(resist\w*|refus\w*|reject\w*|reluctan\w*|does not want|doesn.t want|unwilling|dismiss\w*|den(?:y|ies)"
    r"|frustrat\w*|hostile|suspicious)\b",
    re.IGNORECASE,
)
_LEVEL: Final = re.compile(r"\b(low|moderate|medium|high|no|none)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Persona:
    """One persona: the file's columns as they are, and what is read from them."""

    fields: Mapping[str, str]

    @property
    def name(self) -> str:
        """What they are called."""
        return self.fields[NAME]

    @property
    def risk(self) -> str:
        """Their risk in the file's words, in lower case ("low", "high", "imminent", ...)."""
        return self.fields[RISK].lower()

    @property
    def resistant(self) -> bool:
        """Whether they push help away."""
        return bool(_RESISTS.search(self.fields[REACTION]))

    @property
    def disclosure(self) -> str:
        """How much they tell of themselves: "low", "moderate", "high", or "unknown"."""
        found = _LEVEL.search(self.fields.get(DISCLOSURE, ""))
        word = found[0].lower() if found else "unknown"
        return {"medium": "moderate", "no": "low", "none": "low"}.get(word, word)

    @property
    def prompts(self) -> tuple[str, ...]:
        """Things they might say."""
        return _parts(self.fields.get(PROMPTS, ""))

    @property
    def stressors(self) -> tuple[str, ...]:
        """What weighs on them."""
        return _parts(self.fields.get(STRESSORS, ""))

    def slices(self) -> dict[str, str]:
        """What they are counted under."""
        return {
            "risk": self.risk,
            "reaction": "resistant" if self.resistant else "receptive",
            "disclosure": self.disclosure,
        }


def read_personas(path: Path | None = None) -> list[Persona]:
    """Read the operator's personas, or the shipped ones.

    Raises:
        ConfigurationError: the file is not such, or names nobody.
    """
    rows = rows_of(ASSET, path, (NAME, RISK, REACTION))
    personas = [Persona(row) for row in rows if row[NAME] and row[RISK]]
    if not personas:
        raise ConfigurationError(f"{path or ASSET} holds no persona: each needs a {NAME!r} and a {RISK!r}")
    return personas


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(";") if part.strip())
