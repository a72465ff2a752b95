"""One request a stream, and an orderly end to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final

from multimood.errors import MultimoodError
from multimood.inference.errors import translated
from multimood.inference.tensors import Tensors

LEFT_END_S: Final = 0.02
FAILED_END_S: Final = 1.0
"""How long a stream that was left, or has failed, may take to come to its end before it is cancelled."""


def open_stream(connection: Any, model: str, version: str, tensors: Tensors) -> Any:
    """Send a request; what is given yields (result, error) pairs until the model's answer is complete."""
    return connection.stream_infer(_once(model, version, tensors))


async def end_stream(responses: Any, within_s: float = LEFT_END_S) -> None:
    """Cancel what is left of a stream.

    One that is just about to end is let to: the server (24.10) keeps a request for ever that is cancelled at that very
    moment, and then can neither unload the model nor stop in good order.
    """
    try:
        with suppress(MultimoodError, StopAsyncIteration, TimeoutError):
            async with asyncio.timeout(within_s):
                with translated("the stream"):
                    while True:
                        await anext(responses)
    finally:
        responses.cancel()  # without effect on one that has ended


async def _once(model: str, version: str, tensors: Tensors) -> AsyncIterator[dict[str, Any]]:
    """The aio client has no way of telling where one answer ends and the next begins."""
    yield {"model_name": model, "model_version": version, "inputs": tensors}
