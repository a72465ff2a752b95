"""Two replies, shown in one order and in the other."""

import json

import httpx
import pytest
from test_trust import case

from multimood.errors import UnavailableError
from multimood.trust.pairwise import Better, PairJudge, Position, position

pytestmark = pytest.mark.unit


def judge(*answers: object) -> tuple[PairJudge, list[str]]:
    left, prompts = list(answers), []

    def answer(request: httpx.Request) -> httpx.Response:
        prompts.append(json.loads(request.content)["messages"][0]["content"])
        return httpx.Response(200, json={"choices": [{"message": {"content": json.dumps(left.pop(0))}}]})

    client = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://judge/v1/")
    return PairJudge(client, "m", pause_s=0.0), prompts


async def test_both_replies_are_shown_in_their_order() -> None:
    asked, prompts = judge({"better": "second"})
    assert await asked.better(case("I failed", "So what"), "I hear you") == "second"
    assert prompts[0].index('"So what"') < prompts[0].index('"I hear you"')
    assert "$" not in prompts[0]


@pytest.mark.parametrize("bad", [{"better": "both"}, {"better": "first", "why": "x"}, "first", [], {}])
async def test_another_answer_is_asked_for_again(bad: object) -> None:
    asked, prompts = judge(bad, {"better": "equal"})
    assert await asked.better(case("a", "b"), "c") == "equal"
    assert len(prompts) == 2
    asked, _ = judge(bad, bad, bad)
    with pytest.raises(UnavailableError):
        await asked.better(case("a", "b"), "c")


@pytest.mark.parametrize(
    ("verdicts", "wanted"),
    [
        ([], Position(0, None, None)),
        ([("first", "first"), ("first", "first")], Position(2, 1.0, 1.0)),
        ([("first", "second"), ("second", "first")], Position(2, 0.5, 0.0)),
        ([("equal", "equal")], Position(1, None, 0.0)),
        ([("first", "equal"), ("second", "second")], Position(2, 1 / 3, 1.0)),
    ],
)
def test_the_check_of_position(verdicts: list[tuple[Better, Better]], wanted: Position) -> None:
    assert position(verdicts) == wanted
