"""What endpoints that call themselves OpenAI-compatible do, and what becomes of it. On real sockets; made-up words."""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from llm_server import Answer, Exchange, LLMServer, llm_server
from test_trust import SEVEN, case

from multimood.errors import ConfigurationError, DeadlineExceededError, MultimoodError, UnavailableError
from multimood.generation import BusyError
from multimood.generation.openai import endpoint
from multimood.generation.refusal import Refusal, read_refusal, seconds_to_wait
from multimood.taxonomy import CRITERIA
from multimood.trust.answers import only_one
from multimood.trust.failures import UnusableError, WithheldError
from multimood.trust.kept import KeptScores
from multimood.trust.llm import LLMJudge, Rubric
from multimood.trust.pairwise import PairJudge

pytestmark = pytest.mark.unit

SECRET = "zq what the person said"
ANSWER = json.dumps(SEVEN)


def body(value: object, status: str = "200 OK", headers: str = "") -> Answer:
    """An answer of one piece."""
    content = value if isinstance(value, str) else json.dumps(value)

    async def answer(exchange: Exchange) -> None:
        await exchange.begin(status, f"Content-Length: {len(content.encode())}\r\nConnection: close\r\n{headers}")
        await exchange.send(content.encode())

    return answer


def says(content: Any, finish: str | None = "stop", **message: Any) -> Answer:
    """A chat completion with these words."""
    return body({"choices": [{"message": {"content": content, **message}, "finish_reason": finish}]})


def refuses(status: str, **error: Any) -> Answer:
    return body({"error": error}, status)


async def scored(*script: Answer, **options: Any) -> tuple[Any, LLMServer]:
    """The scores of one case, or the error."""
    async with llm_server(*script) as server, endpoint(server.url) as client:
        judge = LLMJudge(client, "m", Rubric.load(), **{"pause_s": 0.0} | options)
        try:
            return await judge.score(case(SECRET, "I hear you.")), server
        except MultimoodError as error:
            return error, server


# --- answers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        ANSWER,
        f"\n\n {ANSWER}\n",
        f"```json\n{ANSWER}\n```",
        f"Here are the scores:\n{ANSWER}\nI hope that they help!",
        f"<think>{{so}} what would {{'safety': 3}} mean?</think>{ANSWER}",
        f"{ANSWER}\n{ANSWER}",
        [{"type": "text", "text": ANSWER[:20]}, {"type": "text", "text": ANSWER[20:]}],
    ],
)
async def test_words_around_the_object_do_no_harm(content: Any) -> None:
    found, server = await scored(says(content))
    assert found == SEVEN
    assert len(server.exchanges) == 1


async def test_two_answers_are_none() -> None:
    found, _ = await scored(says(f"{ANSWER} or rather {json.dumps(SEVEN | {'safety': 1})}"), attempts=1)
    assert isinstance(found, UnusableError)


def test_braces_without_end_take_no_time() -> None:
    begun = time.perf_counter()
    for content in ("{" * 60_000, '{"a":' * 12_000, "{} " * 20_000):
        assert only_one(content, lambda value: value or None) is None
    assert time.perf_counter() - begun < 1.0


async def test_after_an_unusable_answer_it_is_asked_warmer() -> None:
    found, server = await scored(says("no"), says("no"), says(ANSWER))
    assert found == SEVEN
    assert [exchange.body["temperature"] for exchange in server.exchanges] == [0.0, 0.3, 0.6]


async def test_an_answer_that_was_cut_off_says_so() -> None:
    found, _ = await scored(says("<think>the person", "length"), attempts=1)
    assert "cut off" in str(found)
    whole, _ = await scored(says(ANSWER + " " * 50, "length"), attempts=1)
    assert whole == SEVEN


@pytest.mark.parametrize("answer", [says(None, refusal="zq no"), says("", "content_filter")])
async def test_what_the_model_declines_is_not_asked_again(answer: Answer) -> None:
    found, server = await scored(answer)
    assert isinstance(found, WithheldError)
    assert len(server.exchanges) == 1


@pytest.mark.parametrize("page", ["<html>zq welcome</html>", "[]", '{"object": "list"}', '{"choices": []}', ""])
async def test_what_is_no_chat_completion_points_at_the_url(page: str) -> None:
    found, _ = await scored(body(page), attempts=2)
    assert isinstance(found, UnavailableError)
    assert "answers with no chat completion: check its URL" in str(found)


async def test_blanks_before_the_answer_keep_it_alive_but_not_for_ever() -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.begin(headers="Content-Type: application/json\r\nConnection: close\r\n")
        for _ in range(5):
            await exchange.send(b" \n")
        await exchange.send(json.dumps({"choices": [{"message": {"content": ANSWER}}]}).encode())

    async def never(exchange: Exchange) -> None:
        await exchange.begin(headers="Content-Type: application/json\r\nConnection: close\r\n")
        while True:
            await exchange.send(b" ")
            await asyncio.sleep(0.01)

    found, _ = await scored(answer)
    assert found == SEVEN
    slow, _ = await scored(never, timeout_s=0.2, attempts=1)
    assert isinstance(slow, DeadlineExceededError)
    assert "no answer within 0.2 s: give it longer" in str(slow)


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "field"),
    [
        ({"message": "Invalid parameter: 'response_format' of type 'json_schema' is not supported"}, "response_format"),
        ({"message": "json_schema is not supported"}, "response_format"),
        ({"message": "no", "param": "max_tokens", "code": "unsupported_parameter"}, "max_tokens"),
        ({"message": "Unsupported value: 'temperature' does not support 0", "param": "temperature"}, "temperature"),
    ],
)
async def test_a_field_that_is_not_taken_is_left_out_from_then_on(error: dict[str, str], field: str) -> None:
    async def picky(exchange: Exchange) -> None:
        answer = refuses("400 Bad Request", **error) if field in exchange.body else says(ANSWER)
        await answer(exchange)

    async with llm_server(picky) as server, endpoint(server.url) as client:
        judge = LLMJudge(client, "m", Rubric.load(), attempts=1)
        assert await judge.score(case("a", "b")) == SEVEN
        assert await judge.score(case("a", "c")) == SEVEN
        assert judge.spending.asked == 2
    first, *others = [exchange.body for exchange in server.exchanges]
    assert field in first
    assert [field in one for one in others] == [False, False]
    if field == "max_tokens":
        assert others[0]["max_completion_tokens"] == first["max_tokens"]


async def test_fields_are_left_out_one_after_the_other_and_that_ends() -> None:
    async def nothing(exchange: Exchange) -> None:
        fields = [name for name in exchange.body if name not in {"model", "messages"}]
        await refuses("422 Unprocessable", param=fields[-1] if fields else "model")(exchange)

    found, server = await scored(nothing)
    assert isinstance(found, ConfigurationError)
    assert 2 <= len(server.exchanges) <= 4


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (refuses("404 Not Found", code="model_not_found", message=SECRET), ConfigurationError,
         "the judge m at {url}/ refused (HTTP 404, model_not_found): check its URL (with its /v1)"),
        (body("<html>", "404 Not Found"), ConfigurationError, "refused (HTTP 404): check its URL"),
        (body("", "308 Permanent Redirect", "Location: /v2\r\n"), ConfigurationError, "sends elsewhere (HTTP 308)"),
        (refuses("402 Payment Required", code="insufficient_quota"), ConfigurationError, "insufficient_quota"),
        (refuses("400 Bad Request", code="context_length_exceeded"), WithheldError, "dialogue as long as this"),
        (refuses("400 Bad Request", message="maximum context length is 10"), WithheldError, "dialogue as long as this"),
        (body("too large", "413 Content Too Large"), WithheldError, "HTTP 413"),
        (refuses("400 Bad Request", code="content_filter"), WithheldError, "this one case (HTTP 400, content_filter)"),
        (body({"error": f"no {SECRET}"}, "400 Bad Request"), ConfigurationError, "refused (HTTP 400)"),
        (body("", "503 Service Unavailable"), BusyError, "is busy (HTTP 503)"),
        (body("", "502 Bad Gateway"), UnavailableError, "answered HTTP 502"),
    ],
)  # fmt: skip
async def test_refusals_say_what_to_do_and_quote_nothing(answer: Answer, kind: type[Exception], words: str) -> None:
    found, server = await scored(answer, attempts=1)
    assert type(found) is kind
    assert words.format(url=server.url) in str(found)
    assert "zq" not in str(found)


async def test_one_case_that_is_not_taken_ends_nothing_once_others_were() -> None:
    async with llm_server(says(ANSWER), refuses("400 Bad Request", message="?")) as server, endpoint(server.url) as at:
        judge = LLMJudge(at, "m", Rubric.load())
        await judge.score(case("a", "b"))
        with pytest.raises(WithheldError):
            await judge.score(case("a", "c"))


async def test_no_credentials_of_an_address_are_told() -> None:
    async with (
        llm_server(body("", "401 Unauthorized")) as server,
        endpoint(server.url.replace("//", "//somebody:hush@")) as client,
    ):
        with pytest.raises(ConfigurationError, match="at http://127") as caught:
            await LLMJudge(client, "m", Rubric.load()).score(case("a", "b"))
    assert "hush" not in str(caught.value)


# --- when to come back ----------------------------------------------------------------------------------------------


async def test_a_busy_endpoint_is_asked_when_it_says() -> None:
    begun = time.monotonic()
    found, server = await scored(body("", "429 Too Many Requests", "Retry-After: 1\r\n"), says(ANSWER))
    assert found == SEVEN
    assert (len(server.exchanges), time.monotonic() - begun >= 1.0) == (2, True)


async def test_who_wants_to_be_left_alone_for_longer_than_there_is_time_is() -> None:
    found, server = await scored(body("", "429 Too Many Requests", "Retry-After: 900\r\n"), timeout_s=2.0)
    assert "asked again in 900 s" in str(found)
    assert len(server.exchanges) == 1


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [("7", 7, 7), ("", 0, 0), ("soon", 0, 0), ("-3", 0, 0), ("999999999", 3600, 3600),
     ("Thu, 01 Jan 1970 00:00:00", 0, 0), ("in two minutes", 60, 120)],
)  # fmt: skip
def test_both_forms_of_the_header(header: str, least: float, most: float) -> None:
    if header == "in two minutes":  # told here: a test's name must not be another in each worker
        header = format_datetime(datetime.now(UTC) + timedelta(minutes=2), usegmt=True)
    assert least <= seconds_to_wait(header) <= most


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"", Refusal()), (b"[" * 90_000, Refusal()), (b"[1]", Refusal()), (b'{"error": null}', Refusal()),
        (b'{"error": {"code": 400, "type": "bad_thing"}}', Refusal("", "bad_thing")),
        (b'{"error": {"code": "what the person said"}}', Refusal()),
        (b'{"object": "error", "message": "seed is bad"}', Refusal()),
        (b'{"object": "error", "message": "`seed` is bad"}', Refusal("seed")),
        (b'{"detail": [{"loc": ["body", "seed"], "input": {"top_k": 1}}]}', Refusal("seed")),
        (b'{"detail": "no"}', Refusal()), (b'{"error": {"param": ["seed"]}}', Refusal()),
        (b'{"error": {"param": "messages[0].role"}}', Refusal("messages")),
    ],
)  # fmt: skip
def test_what_refusals_tell(said: bytes, expected: Refusal) -> None:
    assert read_refusal(said, ("seed", "top_k", "messages")) == expected


# --- pairs, and what was not counted ----------------------------------------------------------------------------------


async def test_the_verdict_on_a_pair_is_kept() -> None:
    async with llm_server(says('{"better": "second"}')) as server, endpoint(server.url) as client:
        judge = PairJudge(client, "m", kept=KeptScores())
        assert [await judge.better(case("a", "b"), "c") for _ in range(2)] == ["second", "second"]
        assert (judge.spending.asked, judge.spending.kept, judge.spending.uncounted) == (1, 1, 1)


def test_all_seven() -> None:
    assert list(SEVEN) == list(CRITERIA)
