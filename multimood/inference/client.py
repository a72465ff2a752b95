"""The one client that every service calls Triton with."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any, Final

from tritonclient.grpc.aio import InferenceServerClient

from multimood.errors import DeadlineExceededError, MultimoodError, UnavailableError
from multimood.inference.errors import DeadModelError, stream_failure, translated
from multimood.inference.metrics import Call
from multimood.inference.streaming import FAILED_END_S, end_stream, open_stream
from multimood.inference.tensors import Arrays, Inference, Signature, Tensors, declared, request_tensors, response
from multimood.settings import TritonSettings

PAUSES_S: Final = (0.05, 0.2, 0.8)
"""Before each further attempt; a longer outage is a matter for the caller's own retries."""
READY_WITHIN_S: Final = 2.0
_CHANNEL: Final = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # A server that comes back is to be found at once, not after a backoff of up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # A peer that vanished without a word is noticed; sparse enough for the server not to take offence.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Behind a name with several addresses every server gets its share.
    ("grpc.lb_policy_name", "round_robin"),
)


class InferenceClient:
    """A connection to a Triton server, shared by all calls of a service, made at the first of them.

    At most `max_in_flight` calls are on their way; the others wait here, where they can still be given up, and their
    waiting counts towards their deadline. Calls are repeated only when the server was not available.

    Every call raises UnavailableError when the server, or the model on it, cannot be reached now,
    DeadlineExceededError when there is no answer in time, and InferenceError when the model refuses the input.
    """

    def __init__(self, settings: TritonSettings) -> None:
        self._settings = settings
        self._slots = asyncio.Semaphore(settings.max_in_flight)
        self._connection: Any = None
        self._closed = False

    @property
    def deadline_s(self) -> float:
        """How long a call may take that names no deadline of its own."""
        return self._settings.deadline_s

    async def infer(
        self, model: str, inputs: Arrays, deadline_s: float | None = None, *, version: str = ""
    ) -> Inference:
        """Ask a model that gives one response. `deadline_s` is for all of the call, by default the settings'.

        `version`: of the model, where several are served; empty: the latest.
        """
        limit_s = self._settings.deadline_s if deadline_s is None else deadline_s
        with Call(model) as call:
            tensors = request_tensors(model, inputs)
            try:
                async with asyncio.timeout(limit_s):
                    return await self._attempts(model, version, tensors, call, _now() + limit_s)
            except TimeoutError:
                raise self._late(model, limit_s) from None

    async def stream(
        self, model: str, inputs: Arrays, deadline_s: float | None = None, *, version: str = ""
    ) -> AsyncIterator[Inference]:
        """Ask a decoupled model, and give its responses as they come.

        `deadline_s` is for all of the stream. Without it, none of the responses may take longer than the settings'
        deadline. Leaving the loop early cancels the request on the server: at once inside `contextlib.aclosing`,
        otherwise when the iterator is collected. `version`: see `infer`.
        """
        with Call(model) as call:
            tensors = request_tensors(model, inputs)
            due = None if deadline_s is None else _now() + deadline_s
            for pause_s in (*PAUSES_S, None):
                try:
                    await self._take_turn(model, call, due)
                    try:
                        responses = open_stream(self._connected(), model, version, tensors)
                        try:
                            while (one := await self._next(model, responses, due)) is not None:
                                call.answered()
                                yield one
                        finally:
                            await end_stream(responses)
                    finally:
                        self._give_turn(call)
                except UnavailableError as error:
                    # Half an answer cannot be asked for again.
                    if pause_s is None or call.has_answer or self._is_final(error):
                        raise
                else:
                    return
                await call.retry_after(_jittered(pause_s))

    async def ready(self) -> bool:
        """Tell whether the server takes requests now."""
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                with translated(self.whom("the server")):
                    return bool(await self._connected().is_server_ready(client_timeout=READY_WITHIN_S))
        except (MultimoodError, TimeoutError):
            return False

    async def signature(self, model: str) -> Signature:
        """What the model declares to take and to give; asked once, within two seconds."""
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                with translated(self.whom(model)):
                    client = self._connected()
                    return declared(await client.get_model_metadata(model, client_timeout=READY_WITHIN_S))
        except TimeoutError:
            raise self._late(model, READY_WITHIN_S) from None

    def whom(self, model: str) -> str:
        """How errors name a model."""
        return f"{model} on {self._settings.url}"

    async def close(self) -> None:
        """Drop the connection; calls on their way fail with UnavailableError."""
        self._closed = True
        if self._connection is not None:
            await self._connection.close()

    async def _attempts(self, model: str, version: str, tensors: Tensors, call: Call, due: float) -> Inference:
        for pause_s in PAUSES_S:
            try:
                return await self._attempt(model, version, tensors, call, due)
            except UnavailableError as error:
                if self._is_final(error):
                    raise
                await call.retry_after(_jittered(pause_s))
        return await self._attempt(model, version, tensors, call, due)

    async def _attempt(self, model: str, version: str, tensors: Tensors, call: Call, due: float) -> Inference:
        await self._take_turn(model, call, due)
        try:
            with translated(self.whom(model)):
                left_s = max(due - _now(), 0.001)  # told to the server, which then drops what is late, too
                return response(await self._connected().infer(model, tensors, version, client_timeout=left_s))
        finally:
            self._give_turn(call)

    # A pair of methods, not a context manager made of a generator: of those that are left open when the loop ends,
    # the outer and the inner would be closed at the same time.
    async def _take_turn(self, model: str, call: Call, due: float | None) -> None:
        limit_s = self._left(due)
        try:
            async with asyncio.timeout(limit_s):
                await self._slots.acquire()
        except TimeoutError:
            raise self._late(model, None if due else limit_s) from None
        call.begin_turn()

    def _give_turn(self, call: Call) -> None:
        call.end_turn()
        self._slots.release()

    async def _next(self, model: str, responses: Any, due: float | None) -> Inference | None:
        limit_s = self._left(due)
        try:
            async with asyncio.timeout(limit_s):
                with translated(self.whom(model)):
                    result, error = await anext(responses)
        except StopAsyncIteration:
            return None
        except TimeoutError:
            raise self._late(model, None if due else limit_s) from None
        if error is not None:
            await end_stream(responses, FAILED_END_S)
            raise stream_failure(str(error.message()), self.whom(model))
        return response(result)

    def _connected(self) -> Any:
        if self._closed:
            raise UnavailableError("this inference client was closed")
        if self._connection is None:  # not made earlier: a channel belongs to the loop it was made in
            self._connection = InferenceServerClient(self._settings.url, channel_args=list(_CHANNEL))
        return self._connection

    def _is_final(self, error: UnavailableError) -> bool:
        return self._closed or isinstance(error, DeadlineExceededError | DeadModelError)

    def _left(self, due: float | None) -> float:
        return self._settings.deadline_s if due is None else max(due - _now(), 0.0)

    def _late(self, model: str, limit_s: float | None) -> DeadlineExceededError:
        limit = "the call's deadline" if limit_s is None else f"{limit_s:.2g} s"
        return DeadlineExceededError(f"{self.whom(model)} did not answer within {limit}")


def _now() -> float:
    return asyncio.get_running_loop().time()


def _jittered(pause_s: float) -> float:
    return pause_s * random.uniform(0.5, 1.5)  # noqa: S311 - so that callers do not come back all at once
