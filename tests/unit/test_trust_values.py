"""Values in what a person says, and the reward of what follows a reply. All sentences were made up."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multimood.errors import ConfigurationError
from multimood.trust.values import VALUES, Ahead, ValueDetector, delayed_rewards, lookahead

pytestmark = pytest.mark.unit


PLACES: dict[str, int] = {}


async def embed(texts: Sequence[str]) -> np.ndarray:
    """A dimension a word: texts are near each other when they share words."""
    vectors = np.zeros((len(texts), 512), np.float32)
    for place, text in enumerate(texts):
        for word in text.lower().strip(".").split():
            vectors[place, PLACES.setdefault(word, len(PLACES))] += 1
    return vectors


def test_the_formula_by_hand() -> None:
    turns = [{"a"}, {"b", "c"}, set(), {"a"}]
    assert lookahead(turns, gamma=0.5, horizon=2) == [
        Ahead(2.0, complete=True), Ahead(0.5, complete=True), Ahead(1.0, complete=False), Ahead(0.0, complete=False),
    ]  # fmt: skip
    assert [one.reward for one in lookahead(turns, gamma=0.5, horizon=3, targets={"a"})] == [0.25, 0.5, 1.0, 0.0]
    assert [one.reward for one in lookahead(turns, gamma=0.0, horizon=3)] == [2.0, 0.0, 1.0, 0.0]
    assert lookahead([]) == []


@pytest.mark.parametrize("wrong", [{"gamma": -0.1}, {"gamma": 1.1}, {"horizon": 0}])
def test_what_cannot_be_looked_ahead(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="horizon"):
        lookahead([{"a"}], **wrong)


async def test_the_nearest_value_is_found_and_small_talk_has_none() -> None:
    detector = ValueDetector.load(embed)
    first, second, third = await detector.find(
        ["I care about nature and want to protect the environment.", "", "quark xylophone"]
    )
    assert first == {"universalism: nature"}
    assert second == third == frozenset()
    assert detector.version.startswith("values-2026.11-")


async def test_near_enough_is_said_by_two_bounds() -> None:
    described = {"a": ["one two"], "b": ["three four"], "c": ["five six"], "d": ["seven eight"]}
    loose = ValueDetector(described, embed, "v", least_cosine=0.3, least_lead=1.0)
    strict = ValueDetector(described, embed, "v", least_cosine=0.9, least_lead=1.0)
    asked = ["one two", "one nine ten eleven"]
    assert await loose.find(asked) == [{"a"}, {"a"}]
    assert await strict.find(asked) == [{"a"}, frozenset()]
    assert await ValueDetector(described, embed, "v", least_lead=5.0).find(asked) == [frozenset(), frozenset()]
    assert (await strict.cosines(asked)).shape == (2, 4)


@pytest.mark.parametrize(
    "change", [("humility", "modesty"), ('humility" = [', 'humility" = []\n#'), ("2026.11", "now")]
)
def test_a_file_that_describes_something_else(tmp_path: Path, change: tuple[str, str]) -> None:
    lines = "\n".join(f'"{name}" = ["{name}"]' for name in VALUES)
    path = tmp_path / "values.toml"
    path.write_text(f'edition = "2026.11"\n[values]\n{lines}\n'.replace(*change, 1))
    with pytest.raises(ConfigurationError, match=r"values\.toml"):
        ValueDetector.load(embed, path)


def row(step: int, text: str, conversation: str = "c", **more: Any) -> dict[str, Any]:
    said = {"tenant": "t", "conversation_id": conversation, "step": step, "row_id": f"{conversation}{step}"}
    return said | {"has_decision": True, "dialogue": [{"text": "before"}, {"text": text}]} | more


async def test_rewards_from_logged_rows() -> None:
    nature, family = (
        "Being outdoors among plants and animals matters to me.",
        "I care deeply for my family and friends.",
    )
    rows = [
        row(2, family), row(0, "hello"), row(1, nature), row(4, nature),
        row(0, nature, "d"), row(1, family, "d", has_decision=False),
    ]  # fmt: skip
    detector = ValueDetector.load(embed)
    first, second = map(len, await detector.find([nature, family]))
    assert first
    assert second
    found = await delayed_rewards(rows, detector, gamma=0.5, horizon=2)
    assert {name: (ahead.reward, ahead.complete) for name, ahead in found.items()} == {
        "c0": (first + 0.5 * second, True), "c1": (second, False), "c2": (0.0, False), "c4": (0.0, False),
        "d0": (0.0, False),
    }  # fmt: skip
    some = await delayed_rewards(rows, ValueDetector.load(embed), gamma=0.5, horizon=2, targets={"benevolence: caring"})
    assert some["c0"].reward == 0.5
