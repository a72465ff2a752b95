"""Ports for servers of this machine: no two of a process get the same one, also before the first is bound."""

import random

import pytest

from multimood.local import ports
from multimood.local.ports import assign

pytestmark = pytest.mark.unit


def test_a_later_call_chooses_other_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    few = iter([20_001, 20_001, 20_002, 20_001, 20_002, 20_003] * 50)
    monkeypatch.setattr(random, "randrange", lambda _least, _end: next(few))
    monkeypatch.setattr(ports, "_chosen", set())
    first = assign(["a", "b"])
    second = assign(["a"])
    assert not set(first.values()) & set(second.values())


def test_one_that_is_wanted_again_is_given_again() -> None:
    first = assign(["a"])
    assert assign(["a"], first) == first
