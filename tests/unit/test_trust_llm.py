"""A language model as judge: what it said before is not asked again, and what it costs is counted."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from test_trust import SEVEN, Endpoint, case

from multimood.errors import ConfigurationError, UnavailableError
from multimood.trust.kept import KeptScores, digest
from multimood.trust.llm import LLMJudge, Rubric
from multimood.trust.spending import Prices

pytestmark = pytest.mark.unit


async def test_the_same_case_is_asked_once(tmp_path: Path) -> None:
    kept, endpoint = KeptScores(tmp_path / "deep" / "scores.sqlite"), Endpoint(SEVEN)
    first = await endpoint.judge(kept=kept).score(case("a", "b"))
    again = endpoint.judge(kept=KeptScores(tmp_path / "deep" / "scores.sqlite"))
    assert await again.score(case("a", "b")) == first
    assert len(endpoint.requests) == 1
    assert (again.spending.asked, again.spending.kept) == (0, 1)


@pytest.mark.parametrize("other", [{"criteria": ("safety",)}, {"reply": "c"}, {"said": "d"}, {"model": "other-model"}])
async def test_whatever_changes_the_question_is_asked_anew(other: dict[str, Any]) -> None:
    kept, endpoint = KeptScores(), Endpoint(SEVEN, {"safety": 3} if "criteria" in other else SEVEN)
    await endpoint.judge(kept=kept).score(case("a", "b"))
    client = httpx.AsyncClient(transport=httpx.MockTransport(endpoint), base_url="http://judge/v1/")
    options = {"criteria": other["criteria"]} if "criteria" in other else {}
    judge = LLMJudge(client, other.get("model", "some-model"), Rubric.load(), kept=kept, **options)
    await judge.score(case(other.get("said", "a"), other.get("reply", "b")))
    assert len(endpoint.requests) == 2


async def test_what_failed_is_not_kept() -> None:
    kept, endpoint = KeptScores(), Endpoint("no scores", SEVEN)
    with pytest.raises(UnavailableError):
        await endpoint.judge(kept=kept, attempts=1).score(case("a", "b"))
    assert await endpoint.judge(kept=kept).score(case("a", "b")) == SEVEN


def test_no_word_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "scores.sqlite"
    kept = KeptScores(path)
    kept.keep(digest({"messages": ["a zebra said so"]}), {"safety": 3.0})
    kept.close()
    assert all(b"zebra" not in file.read_bytes() for file in tmp_path.iterdir())


def test_the_oldest_go() -> None:
    kept = KeptScores(most=3)
    for number in range(10):
        kept.keep(digest({"n": number}), {"safety": float(number % 9 + 1)})
    assert [kept.get(digest({"n": number})) is not None for number in range(10)] == [False] * 7 + [True] * 3
    kept.keep(digest({"n": 9}), {"safety": 5.0})
    assert kept.get(digest({"n": 9})) == {"safety": 1.0}, "the first answer stays"


@pytest.mark.parametrize("content", [None, b"this is no database, however long it may go on and on and on" * 20])
def test_a_place_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "scores.sqlite"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"scores\.sqlite"):
        KeptScores(path)


async def test_tokens_and_cost_are_counted() -> None:
    usages: list[Any] = [{"prompt_tokens": 1_000, "completion_tokens": 20}, None, {"prompt_tokens": -5}, "many"]

    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            200, json={"choices": [{"message": {"content": json.dumps(SEVEN)}}], "usage": usages.pop(0)}
        )

    client = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://judge/v1/")
    judge = LLMJudge(client, "m", Rubric.load(), prices=Prices(prompt=2.0, completion=10.0))
    for number in range(4):
        await judge.score(case("a", str(number)))
    spent = judge.spending
    assert (spent.asked, spent.prompt_tokens, spent.completion_tokens) == (4, 1_000, 20)
    assert spent.cost == pytest.approx(0.0022)


async def test_an_unusable_answer_costs_too() -> None:
    endpoint = Endpoint("no scores")
    judge = endpoint.judge(attempts=2)
    with pytest.raises(UnavailableError):
        await judge.score(case("a", "b"))
    assert judge.spending.asked == 2
