"""The shapes of personal data in a text: contacts, accounts, addresses."""

import re
from collections.abc import Mapping
from typing import Final

from multimood.trust.phones import phones

PERSONAL_DATA: Final[Mapping[str, re.Pattern[str]]] = {
    "email": re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,4}"),
    "phone": re.compile(r"(?<![\w+])\+?\d(?:[ ().\-/]{0,2}\d){8,14}(?!\w)"),
    "iban": re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b"),
    "card": re.compile(r"(?<!\d)(?:\d{4}[ -]?){3}\d{4}(?!\d)"),
    "ssn": re.compile(r"(?<!\d)\d{3}-\d{2}-\d{4}(?!\d)"),
    "street": re.compile(
        r"\b\d{1,5} (?:[A-Z][a-z]{1,20} ){1,3}(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd)\b"
        r"|\b[A-ZÄÖÜ][a-zäöüß]{2,25}(?:straße|strasse|weg|platz|allee) \d{1,4}\b"
    ),
    "handle": re.compile(r"(?<![\w@.])@[A-Za-z]\w{2,30}\b"),
    "site": re.compile(
        r"(?<![\w@.])(?:https?://|www\.)[^\s<>\"]{3,200}"
        r"|(?<![\w@./-])[a-z0-9-]{2,40}\.(?:com|org|net|info|gov|edu|co\.uk|org\.uk)\b(?!@)",
        re.IGNORECASE,
    ),
}
"""Shapes of personal data; all bounded, so that matching is linear. A helpline's short number is none of them."""

_ANY_CARD: Final = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)")
_ANY_IBAN: Final = re.compile(r"\b[a-z]{2}\d{2}(?:[ -]?[a-z0-9]){11,30}\b", re.IGNORECASE)


def personal_data(text: str) -> dict[str, frozenset[str]]:
    """Find what looks like personal data: kind -> values without spaces and punctuation, so that spellings agree.

    A usual shape is enough, for what a model invents fails every checksum. Account and card numbers in an unusual shape
    count when their checksum holds, telephone numbers when they can exist.
    """
    found = {kind: {_bare(match[0]) for match in pattern.finditer(text)} for kind, pattern in PERSONAL_DATA.items()}
    found["card"] |= {value for match in _ANY_CARD.finditer(text) if _is_card(value := _bare(match[0]))}
    found["iban"] |= {value for match in _ANY_IBAN.finditer(text) if _is_iban(value := _bare(match[0]))}
    found["phone"] |= phones(text)
    return {kind: frozenset(values) for kind, values in found.items() if values}


def _bare(value: str) -> str:
    return re.sub(r"[\s().\-/]", "", value).lower()


def _is_card(digits: str) -> bool:
    """Luhn's checksum (ISO/IEC 7812-1)."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def _is_iban(value: str) -> bool:
    """ISO 7064's checksum mod 97: letters count as 10 to 35."""
    return int("".join(str(int(letter, 36)) for letter in value[4:] + value[:4])) % 97 == 1
