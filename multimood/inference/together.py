"""Calls that go together: whoever comes while others are on their way waits, and goes with all that have its shape.

Nobody waits for company: a call that finds nothing on its way goes at once. Triton batches too, but only what stands
side by side in its queue and has one shape; and a request costs it as much as a short text.
"""

import asyncio
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from multimood.errors import DeadlineExceededError
from multimood.inference.client import InferenceClient
from multimood.inference.errors import InferenceError
from multimood.inference.tensors import Arrays, Inference

MOST: Final = 16
"""Rows of a call."""
AT_ONCE: Final = 2
"""Calls on their way for one model: while the server works on one, the next is there already."""


@dataclass(frozen=True, slots=True)
class _Row:
    inputs: Arrays
    answer: asyncio.Future[Inference]
    number: int


class Together:
    """A client for models whose inputs are one row each, of shape [1, ...]; so are the outputs.

    `infer` raises what `InferenceClient.infer` raises. What the model refuses it refuses alone: the other rows of that
    call are asked again, each by itself.
    """

    def __init__(self, client: InferenceClient) -> None:
        self._client = client
        self._models: dict[str, _Calls] = {}

    async def infer(self, model: str, inputs: Arrays) -> Inference:
        """Ask for one row; the client's deadline counts from now."""
        calls = self._models.setdefault(model, _Calls(self._client, model))
        answer = calls.put(inputs)
        try:
            return await asyncio.wait_for(answer, self._client.deadline_s)
        except TimeoutError:
            limit_s = self._client.deadline_s
            raise DeadlineExceededError(f"{model} gave no answer within {limit_s:g} s: it has too much to do") from None


class _Calls:
    """Of one model."""

    def __init__(self, client: InferenceClient, model: str) -> None:
        self._client = client
        self._model = model
        self._waiting: dict[Hashable, deque[_Row]] = {}
        """By shape."""
        self._on_their_way: set[asyncio.Task[None]] = set()
        self._count = 0

    def put(self, inputs: Arrays) -> asyncio.Future[Inference]:
        """Queue a row, and go if there is room."""
        row = _Row(inputs, asyncio.get_running_loop().create_future(), self._count)
        self._count += 1
        self._waiting.setdefault(_shape(inputs), deque()).append(row)
        self._go()
        return row.answer

    def _go(self) -> None:
        while len(self._on_their_way) < AT_ONCE and (rows := self._next()):
            task = asyncio.create_task(self._call(rows))
            self._on_their_way.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._on_their_way.discard(task)
        self._go()

    def _next(self) -> Sequence[_Row]:
        """Those of the shape whose first has waited longest."""
        rows: list[_Row] = []
        while self._waiting and not rows:
            shape, queue = min(self._waiting.items(), key=lambda waiting: waiting[1][0].number)
            while queue and len(rows) < MOST:
                row = queue.popleft()
                if not row.answer.done():  # else nobody waits for it any more
                    rows.append(row)
            if not queue:
                del self._waiting[shape]
        return rows

    async def _call(self, rows: Sequence[_Row]) -> None:
        try:
            found = await self._client.infer(self._model, _joined([row.inputs for row in rows]))
        except InferenceError as error:
            if len(rows) == 1:
                _fail(rows, error)
            else:
                for row in rows:
                    await self._call([row])
        except Exception as error:  # noqa: BLE001 - whatever it is, they wait for it
            _fail(rows, error)
        else:
            for at, row in enumerate(rows):
                if not row.answer.done():
                    row.answer.set_result(_row_of(found, at))


def _shape(inputs: Arrays) -> Hashable:
    return tuple((name, array.dtype.str, array.shape[1:]) for name, array in sorted(inputs.items()))


def _joined(rows: Sequence[Arrays]) -> Arrays:
    return rows[0] if len(rows) == 1 else {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def _row_of(found: Inference, at: int) -> Inference:
    outputs: Mapping[str, Any] = {name: array[at : at + 1] for name, array in found.outputs.items()}
    return Inference(outputs, found.model_version)


def _fail(rows: Sequence[_Row], error: Exception) -> None:
    for row in rows:
        if not row.answer.done():
            row.answer.set_exception(error)
