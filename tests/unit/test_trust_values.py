"""Values in what a person says, and the reward of what follows a reply. All sentences were made up."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multimood.errors import ConfigurationError
from multimood.trust.ahead import Find, Looking, delayed_rewards, with_lookahead
from multimood.trust.values import VALUES, Ahead, ValueDetector, lookahead

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


NATURE = "Being outdoors among plants and animals matters to me."
FAMILY = "I care deeply for my family and friends."


def found_by(detector: ValueDetector) -> Find:
    with asyncio.Runner() as runner:
        known = {text: runner.run(detector.find([text]))[0] for text in (NATURE, FAMILY, "hello")}
    return lambda texts: [known[text] for text in texts]


def told(found: dict[str, Ahead | None]) -> dict[str, Any]:
    return {name: None if ahead is None else (ahead.reward, ahead.complete) for name, ahead in found.items()}


def test_rewards_from_logged_rows() -> None:
    rows = [
        row(2, FAMILY), row(0, "hello"), row(1, NATURE),
        row(0, NATURE, "d"), row(1, FAMILY, "d", has_decision=False),
    ]  # fmt: skip
    find = found_by(ValueDetector.load(embed))
    first, second = map(len, find([NATURE, FAMILY]))
    assert first
    assert second
    found = delayed_rewards(rows, find, Looking(gamma=0.5, horizon=2))
    assert told(found) == {
        "c0": (first + 0.5 * second, True), "c1": (second, False), "c2": (0.0, False), "d0": (0.0, False),
    }  # fmt: skip
    some = delayed_rewards(rows, find, Looking(0.5, 2, frozenset({"benevolence: caring"})))
    assert some["c0"] == Ahead(0.5, complete=True)
    more = list(with_lookahead([*rows, row(0, "x", "other")], found))
    assert [one["lookahead"] for one in more] == [0.0, first + 0.5 * second, second, 0.0, None, None]
    assert more[1]["lookahead_complete"] is True


@pytest.mark.parametrize("unknown", [{"dialogue": None}, {"dialogue": [{"text": None}]}, {"dialogue": [{"text": " "}]}])
def test_where_nobody_can_judge_there_is_no_reward(unknown: dict[str, Any]) -> None:
    def find(texts: Sequence[str]) -> list[set[str]]:
        return [{"humility"} for _ in texts]

    rows = [row(step, NATURE) for step in range(5)]
    rows[2] |= unknown
    looking = Looking(gamma=1.0, horizon=2)
    expected = {"c0": None, "c1": None, "c2": (2.0, True), "c3": (1.0, False), "c4": (0.0, False)}
    assert told(delayed_rewards(rows, find, looking)) == expected
    absent = {name: one for name, one in expected.items() if name != "c2"}
    assert told(delayed_rewards([rows[0], rows[1], *rows[3:]], find, looking)) == absent, "a turn without consent"


def test_a_long_log_is_judged_in_parts() -> None:
    asked: list[int] = []

    def find(texts: Sequence[str]) -> list[set[str]]:
        asked.append(len(texts))
        return [{text} for text in texts]

    found = delayed_rewards((row(step, f"said {step}") for step in range(150)), find, Looking(1.0, 1))
    assert asked == [64, 64, 22]
    assert [ahead.reward if ahead else None for ahead in found.values()] == [1.0] * 149 + [0.0]


def test_the_version_tells_all_that_the_reward_depends_on() -> None:
    versions = {
        looking.version("values-1")
        for looking in (Looking(), Looking(0.5), Looking(horizon=2), Looking(targets=frozenset({"humility"})))
    } | {Looking().version("values-2")}
    assert len(versions) == 5
    assert all("values-" in version for version in versions)
