"""Calls that go together: nobody waits for company, nobody pays for another's fault, nobody is forgotten."""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from multimood.errors import DeadlineExceededError, UnavailableError
from multimood.inference import Inference, InferenceError, Together

pytestmark = pytest.mark.unit

Row = Mapping[str, NDArray[Any]]


class Client:
    """A model that doubles its rows, when it may; it refuses negative numbers."""

    def __init__(self, deadline_s: float = 10.0) -> None:
        self.deadline_s = deadline_s
        self.calls: list[list[int]] = []
        self.open = asyncio.Event()
        self.failures: list[Exception] = []

    async def infer(self, _model: str, inputs: Row) -> Inference:
        values = inputs["x"]
        self.calls.append([int(row[0]) for row in values])
        await self.open.wait()
        if self.failures:
            raise self.failures.pop(0)
        if (values < 0).any():
            raise InferenceError("refused")
        return Inference(MappingProxyType({"y": values * 2}), "3")


def row(value: int, length: int = 1) -> Row:
    return {"x": np.full((1, length), value)}


@pytest.fixture
def client() -> Client:
    return Client()


async def asked(together: Together, *rows: Row) -> list[asyncio.Task[Inference]]:
    tasks = [asyncio.create_task(together.infer("m", one)) for one in rows]
    await asyncio.sleep(0.01)
    return tasks


async def test_whoever_finds_nothing_on_its_way_goes_at_once_and_the_others_go_together(client: Client) -> None:
    together = Together(client)  # type: ignore[arg-type]
    tasks = await asked(together, *map(row, range(7)))
    assert client.calls == [[0], [1]]
    client.open.set()
    found = await asyncio.gather(*tasks)
    assert client.calls == [[0], [1], [2, 3, 4, 5, 6]]
    assert [one.outputs["y"].tolist() for one in found] == [[[2 * number]] for number in range(7)]
    assert {one.model_version for one in found} == {"3"}


async def test_a_call_has_one_shape_and_a_limit_and_the_longest_wait_is_first(client: Client) -> None:
    together = Together(client)  # type: ignore[arg-type]
    tasks = await asked(together, row(0), row(1), row(2, 4), *map(row, range(3, 23)), row(23, 4))
    client.open.set()
    await asyncio.gather(*tasks)
    assert client.calls == [[0], [1], [2, 23], list(range(3, 19)), list(range(19, 23))]


async def test_one_that_is_refused_spoils_no_other(client: Client) -> None:
    together = Together(client)  # type: ignore[arg-type]
    tasks = await asked(together, *map(row, (0, 1, 2, -3, 4)))
    client.open.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in found] == [Inference, Inference, Inference, InferenceError, Inference]


async def test_a_server_that_is_away_is_away_for_all_of_a_call_and_the_next_goes(client: Client) -> None:
    together = Together(client)  # type: ignore[arg-type]
    tasks = await asked(together, row(0), row(1))
    client.failures = [UnavailableError("away"), UnavailableError("away"), UnavailableError("away")]
    tasks += await asked(together, row(2), row(3))
    client.open.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in found] == [UnavailableError] * 4
    assert (await together.infer("m", row(5))).outputs["y"].tolist() == [[10]]


async def test_nobody_waits_beyond_the_deadline_and_what_nobody_waits_for_is_not_asked() -> None:
    client = Client(deadline_s=0.05)
    together = Together(client)  # type: ignore[arg-type]
    tasks = await asked(together, *map(row, range(4)))
    tasks[2].cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in found] == [
        DeadlineExceededError, DeadlineExceededError, asyncio.CancelledError, DeadlineExceededError,
    ]  # fmt: skip
    client.open.set()
    assert (await together.infer("m", row(7))).outputs["y"].tolist() == [[14]]
    assert client.calls == [[0], [1], [7]]
