"""Shapes of personal data. The numbers are published test numbers, or made up."""

import time

import pytest

from multimood.safety import Verdict
from multimood.trust import guard
from multimood.trust.personal_data import personal_data

pytestmark = pytest.mark.unit

CALM = Verdict("none", (), 0.0, "v")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("mail ann@example.org", "email"),
        ("ring 212-736-5000", "phone"),
        ("ring (030) 90 18 20", "phone"),
        ("ring +44 20 7946 0958", "phone"),
        ("DE89 3704 0044 0532 0130 00", "iban"),
        ("gb29nwbk60161331926819", "iban"),
        ("4111 1111 1111 1111", "card"),
        ("3782-822463-10005", "card"),
        ("my number is 078-05-1120", "ssn"),
        ("he lives at 12 Long Hill Road", "street"),
        ("look at www.example.org/help", "site"),
        ("look at example.com for more", "site"),
        ("write to @some_body", "handle"),
    ],
)
def test_a_kind_is_found(text: str, kind: str) -> None:
    assert kind in personal_data(text)


@pytest.mark.parametrize(
    "text",
    [
        "I slept 4 hours in 2 nights.", "In 2019 we moved, in 2021 again.", "Call 988 or 112.",
        "It was 10 a.m. and late.",
        "3782-822463-10006 is no card", "gb29nwbk60161331926818 is no account", "I said no.then he left",
    ],
)  # fmt: skip
def test_what_is_none(text: str) -> None:
    assert set(personal_data(text)) <= {"phone"} if "is no card" in text else personal_data(text) == {}


def test_all_spellings_of_a_telephone_number_agree() -> None:
    spellings = ("+44 20 7946 0958", "020 7946 0958", "0044 (0)20-7946-0958", "(020) 7946-0958")
    found = [personal_data(text).get("phone", frozenset()) for text in spellings]
    assert frozenset.intersection(*found) == {"2079460958"}


def test_an_invented_site_does_not_leave() -> None:
    assert guard("You can chat on www.calm-friends.org any time.", CALM).reason == "unverified_contact"
    assert guard("Go to supporthelp.com tonight.", CALM).reason == "unverified_contact"


@pytest.mark.parametrize(
    "text", ["1 " * 2_000, "1" * 4_000, "12345678 " * 450, "a1" * 2_000, "a.b" * 1_300, "+1-" * 1_300]
)
def test_hostile_text_takes_no_time(text: str) -> None:
    begun = time.perf_counter()
    personal_data(text)
    assert time.perf_counter() - begun < 2.0
