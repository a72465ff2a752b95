"""The inference client against a gRPC server that misbehaves in one chosen way at a time."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as triton
from tritonclient.grpc import service_pb2_grpc

from multimood.errors import DeadlineExceededError, UnavailableError
from multimood.inference import InferenceClient, InferenceError, client
from multimood.inference.errors import DeadModelError
from multimood.settings import TritonSettings

pytestmark = pytest.mark.unit

ONE = {"x": np.ones((1, 2), np.float32)}
Behaviour = Callable[[int, grpc.aio.ServicerContext], Awaitable[None]]


def answer(number: int) -> triton.ModelInferResponse:
    message = triton.ModelInferResponse(model_name="m", model_version="3")
    message.outputs.add(name="y", datatype="INT32", shape=[1])
    message.outputs.add(name="text", datatype="BYTES", shape=[1])
    word = f"piece {number}".encode()
    message.raw_output_contents.extend([np.array([number], np.int32).tobytes(), len(word).to_bytes(4, "little") + word])
    return message


class Server(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Runs `behaviour` with the number of the call (or of the response in a stream) before it answers."""

    def __init__(self) -> None:
        self.behaviour: Behaviour = self.at_once
        self.calls = self.running = self.most = self.left = 0
        self.pieces = 3
        self.port = 0

    @staticmethod
    async def at_once(number: int, context: grpc.aio.ServicerContext) -> None:
        pass

    async def ServerReady(self, request: object, context: object) -> triton.ServerReadyResponse:  # noqa: N802
        return triton.ServerReadyResponse(ready=True)

    async def ModelInfer(  # noqa: N802
        self, request: triton.ModelInferRequest, context: grpc.aio.ServicerContext
    ) -> triton.ModelInferResponse:
        self.calls += 1
        self.running += 1
        self.most = max(self.most, self.running)
        number = self.calls
        try:
            await self.behaviour(number, context)
        finally:
            self.running -= 1
        return answer(number)

    async def ModelStreamInfer(  # noqa: N802
        self, requests: AsyncIterator[triton.ModelInferRequest], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[triton.ModelStreamInferResponse]:
        self.calls += 1
        try:
            async for _ in requests:
                for number in range(self.pieces):
                    await self.behaviour(number, context)
                    yield triton.ModelStreamInferResponse(infer_response=answer(number))
        except asyncio.CancelledError:
            self.left += 1
            raise

    async def start(self) -> grpc.aio.Server:
        server = grpc.aio.server()
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self, server)
        self.port = server.add_insecure_port(f"127.0.0.1:{self.port}")
        await server.start()
        return server


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAUSES_S", (0.01, 0.01, 0.01))


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    servicer = Server()
    running = await servicer.start()
    yield servicer
    await running.stop(0)


@pytest.fixture
async def calls(server: Server) -> AsyncIterator[InferenceClient]:
    own = InferenceClient(TritonSettings(url=f"127.0.0.1:{server.port}", deadline_s=2, max_in_flight=2))
    yield own
    await own.close()


def failing(times: int, code: grpc.StatusCode, text: str = "no") -> Behaviour:
    count = itertools.count(1)

    async def behave(number: int, context: grpc.aio.ServicerContext) -> None:
        if next(count) <= times:
            await context.abort(code, text)

    return behave


async def hang(number: int, context: grpc.aio.ServicerContext) -> None:
    await asyncio.sleep(30)


async def test_outputs_come_as_arrays_by_name(server: Server, calls: InferenceClient) -> None:
    found = await calls.infer("m", ONE)
    assert found.model_version == "3"
    assert set(found.outputs) == {"y", "text"}
    assert found.outputs["y"].dtype == np.int32
    assert found.outputs["text"].tolist() == [b"piece 1"]
    assert await calls.ready()


async def test_unavailable_is_tried_again(server: Server, calls: InferenceClient) -> None:
    server.behaviour = failing(3, grpc.StatusCode.UNAVAILABLE)
    assert (await calls.infer("m", ONE)).outputs["y"].tolist() == [4]


async def test_unavailable_for_long_is_said(server: Server, calls: InferenceClient) -> None:
    server.behaviour = failing(99, grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(UnavailableError, match=r"m on 127\.0\.0\.1:"):
        await calls.infer("m", ONE)
    assert server.calls == 4


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, "unexpected shape", InferenceError),
        (grpc.StatusCode.INTERNAL, "some exception", InferenceError),
        (grpc.StatusCode.INTERNAL, "Stub process 'm_0_0' is not healthy.", DeadModelError),
    ],
)
async def test_other_failures_are_not(
    server: Server, calls: InferenceClient, code: grpc.StatusCode, text: str, kind: type[Exception]
) -> None:
    server.behaviour = failing(1, code, text)
    with pytest.raises(kind):
        await calls.infer("m", ONE)
    assert server.calls == 1


async def test_a_late_answer_is_not_waited_for(server: Server, calls: InferenceClient) -> None:
    server.behaviour = hang
    loop = asyncio.get_running_loop()
    begin = loop.time()
    with pytest.raises(DeadlineExceededError, match=r"within 0\.1 s"):
        await calls.infer("m", ONE, deadline_s=0.1)
    assert loop.time() - begin < 1


async def test_no_more_calls_than_allowed_are_on_their_way(server: Server, calls: InferenceClient) -> None:
    async def slow(number: int, context: grpc.aio.ServicerContext) -> None:
        await asyncio.sleep(0.02)

    server.behaviour = slow
    await asyncio.gather(*(calls.infer("m", ONE) for _ in range(8)))
    assert server.most == 2
    assert server.calls == 8


async def test_waiting_for_a_turn_counts_towards_the_deadline(server: Server, calls: InferenceClient) -> None:
    server.behaviour = hang
    holding = [asyncio.create_task(calls.infer("m", ONE)) for _ in range(2)]
    await asyncio.sleep(0.05)
    with pytest.raises(DeadlineExceededError):
        await calls.infer("m", ONE, deadline_s=0.05)
    assert server.calls == 2
    for task in holding:
        task.cancel()
    await asyncio.gather(*holding, return_exceptions=True)
    server.behaviour = Server.at_once
    await calls.infer("m", ONE)  # the turns of the cancelled ones are free again


async def test_a_server_that_comes_back_is_found_within_moments(calls: InferenceClient, server: Server) -> None:
    other = Server()
    running = await other.start()
    own = InferenceClient(TritonSettings(url=f"127.0.0.1:{other.port}", deadline_s=2))
    await own.infer("m", ONE)
    await running.stop(0)
    for _ in range(20):
        with pytest.raises(UnavailableError):
            await own.infer("m", ONE)
    assert not await own.ready()
    running = await other.start()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 5
    while not await own.ready():
        assert loop.time() < deadline
        await asyncio.sleep(0.05)
    await own.infer("m", ONE)
    await own.close()
    await running.stop(0)


async def test_closing_ends_calls_with_an_error_of_ours(server: Server, calls: InferenceClient) -> None:
    server.behaviour = hang
    call = asyncio.create_task(calls.infer("m", ONE))
    await asyncio.sleep(0.05)
    await calls.close()
    with pytest.raises(UnavailableError):
        await call
    with pytest.raises(UnavailableError, match="was closed"):
        await calls.infer("m", ONE)
    assert not await calls.ready()


async def test_cancelling_the_caller_is_no_error_of_ours(server: Server, calls: InferenceClient) -> None:
    server.behaviour = hang
    call = asyncio.create_task(calls.infer("m", ONE))
    await asyncio.sleep(0.05)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_stream_gives_every_response_in_order(server: Server, calls: InferenceClient) -> None:
    pieces = [one.outputs["text"][0] async for one in calls.stream("m", ONE)]
    assert pieces == [b"piece 0", b"piece 1", b"piece 2"]


async def test_leaving_a_stream_cancels_it_and_frees_its_turn(server: Server, calls: InferenceClient) -> None:
    async def slow(number: int, context: grpc.aio.ServicerContext) -> None:
        await asyncio.sleep(0.05 if number else 0)

    server.behaviour, server.pieces = slow, 1000
    for _ in range(3):  # one more than there are turns
        async with aclosing(calls.stream("m", ONE)) as responses:
            async for _one in responses:
                break
    await asyncio.sleep(0.1)
    assert server.left == 3


async def test_a_stream_that_was_not_begun_is_tried_again(server: Server, calls: InferenceClient) -> None:
    server.behaviour = failing(2, grpc.StatusCode.UNAVAILABLE)
    assert len([one async for one in calls.stream("m", ONE)]) == 3
    assert server.calls == 3


async def test_half_an_answer_is_not_asked_for_again(server: Server, calls: InferenceClient) -> None:
    async def breaks_off(number: int, context: grpc.aio.ServicerContext) -> None:
        if number == 2:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")

    server.behaviour = breaks_off
    seen = []

    async def read() -> None:
        async for one in calls.stream("m", ONE):
            seen.append(int(one.outputs["y"][0]))  # noqa: PERF401 - what came before the failure counts

    with pytest.raises(UnavailableError):
        await read()
    assert seen == [0, 1]
    assert server.calls == 1


@pytest.mark.parametrize("deadline_s", [0.1, None], ids=["of the call", "of the settings"])
async def test_a_stream_that_falls_silent_is_given_up(server: Server, deadline_s: float | None) -> None:
    async def falls_silent(number: int, context: grpc.aio.ServicerContext) -> None:
        if number:
            await asyncio.sleep(30)

    server.behaviour = falls_silent
    own = InferenceClient(TritonSettings(url=f"127.0.0.1:{server.port}", deadline_s=2 if deadline_s else 0.1))
    with pytest.raises(DeadlineExceededError):
        assert [one async for one in own.stream("m", ONE, deadline_s)]
    await own.close()
