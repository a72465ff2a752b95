"""A gate's leave counts only beside the champion that serves now."""

from typing import Any

import pytest

from multimood.rollout.comparison import Comparison
from multimood.rollout.errors import PromotionRefusedError
from multimood.rollout.standing import NONE, Version

pytestmark = pytest.mark.unit

SHIPPED = Version("1", b"\1" * 32)
THIRD = Version("3", b"\3" * 32)
LOGGED_BY_SHIPPED = f"mesc;fusion:1@abcabcabcabc;policy:{SHIPPED};explore:0.1"
LOGGED_BY_THIRD = f"mesc;fusion:1@abcabcabcabc;policy:{THIRD};explore:0.1"
WITHOUT = "mesc;fusion:1@abcabcabcabc;explore:0.1"


def gate(decisions: Any, **more: Any) -> dict[str, Any]:
    held = {"policy_versions": decisions}
    return {"champion": "logged", "champion_sha256": None, "data": {"parts": {"held": held}}, **more}


@pytest.mark.parametrize(
    ("decisions", "champion"),
    [
        ({LOGGED_BY_THIRD: 50, LOGGED_BY_SHIPPED: 50}, THIRD),
        ({LOGGED_BY_SHIPPED: 3}, SHIPPED),
        ({WITHOUT: 3}, SHIPPED),  # version 1 passes the fusion model's distribution on
        ({LOGGED_BY_SHIPPED: 3}, NONE),
        ({"simulator;by the book": 3}, SHIPPED),
        ({"simulator;by the book": 3}, NONE),
    ],
)
def test_the_log_is_of_the_champion(decisions: dict[str, int], champion: Version) -> None:
    Comparison.of(gate(decisions)).check("policy", champion)


@pytest.mark.parametrize(
    ("decisions", "champion"),
    [
        ({LOGGED_BY_THIRD: 49, LOGGED_BY_SHIPPED: 51}, THIRD),
        ({LOGGED_BY_THIRD: 51, LOGGED_BY_SHIPPED: 49}, SHIPPED),
        ({f"mesc;policy:3@{'ab' * 6}": 9}, THIRD),  # the same number in another repository
        ({f"mesc;policy_esconv:{THIRD}": 9}, THIRD),  # another model
        ({"simulator;by the book": 3}, THIRD),
    ],
)
def test_the_log_is_of_others(decisions: dict[str, int], champion: Version) -> None:
    with pytest.raises(
        PromotionRefusedError, match=rf"but policy {champion} serves: judge it beside.*--champion served"
    ):
        Comparison.of(gate(decisions)).check("policy", champion)


def test_a_named_champion_is_the_one_that_serves_or_is_not() -> None:
    third = gate({WITHOUT: 9}, champion="spring", champion_sha256=THIRD.sha256.hex())
    Comparison.of(third).check("policy", THIRD)
    Comparison.of(gate({}, champion_sha256="none")).check("policy", NONE)
    for other in (SHIPPED, Version("3", b"\4" * 32), NONE):
        with pytest.raises(PromotionRefusedError, match=rf"with spring \(0303.*\), but policy {other} serves"):
            Comparison.of(third).check("policy", other)


@pytest.mark.parametrize("decisions", [{}, None, [], {"a": 0}, {"a": "many"}, {"a": -1}])
def test_a_gate_that_does_not_say_with_whom(decisions: Any) -> None:
    with pytest.raises(PromotionRefusedError, match=r"does not say whom.*rl evaluate"):
        Comparison.of(gate(decisions)).check("policy", SHIPPED)


@pytest.mark.parametrize("old", [{}, {"data": 1}, {"data": {"parts": None}}, {"data": {"parts": {"held": []}}}])
def test_a_gate_of_an_older_version(old: dict[str, Any]) -> None:
    with pytest.raises(PromotionRefusedError, match="does not say whom"):
        Comparison.of(old).check("policy", SHIPPED)


def test_a_reply_model_was_compared_with_the_weights_that_it_was_taught_from() -> None:
    found = Comparison.of_replies({"champion": "before", "champion_sha256": SHIPPED.sha256.hex()})
    found.check("responder", SHIPPED)
    with pytest.raises(
        PromotionRefusedError, match=r"with before \(0101.*\), but responder 3@.* serves: train.*--base"
    ):
        found.check("responder", THIRD)
    for old in ({}, {"champion_sha256": None}):
        with pytest.raises(PromotionRefusedError, match=r"does not say whom.*rl evaluate"):
            Comparison.of_replies(old).check("responder", SHIPPED)
