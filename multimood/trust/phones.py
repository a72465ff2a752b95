"""Telephone numbers in a text, by Google's libphonenumber (the package `phonenumbers`)."""

import re
from typing import Final

from phonenumbers import Leniency, PhoneNumberMatcher

REGIONS: Final = ("US", "GB", "DE", "FR", "ES")
"""Whose national spelling is understood; a number that begins with + or 00 is of any country."""
_LEAST_DIGITS: Final = 7
_MOST_CHARACTERS: Final = 20_000
_MOST_TRIES: Final = 16
_DIGIT: Final = re.compile(r"\d")


def phones(text: str) -> frozenset[str]:
    """National significant numbers, digits only, so that all spellings of a number agree.

    Only numbers that can exist in the plan of their country. Bounded: what lies behind 20,000 characters, or behind
    16 candidates, is not read.
    """
    text = text[:_MOST_CHARACTERS]
    if sum(1 for _ in _DIGIT.finditer(text)) < _LEAST_DIGITS:
        return frozenset()
    return frozenset(
        str(match.number.national_number)
        for region in REGIONS
        for match in PhoneNumberMatcher(text, region, Leniency.VALID, _MOST_TRIES)
    )
