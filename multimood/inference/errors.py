"""What a failed call means: try again, or never with this input."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import grpc
from tritonclient.utils import InferenceServerException

from multimood.errors import DeadlineExceededError, MultimoodError, UnavailableError

_LATER: Final = frozenset({"UNAVAILABLE", "CANCELLED", "NOT_FOUND", "ABORTED"})
"""NOT_FOUND is among them because a model that is being reloaded is, for a moment, not there."""
_DEAD_PROCESS: Final = "Stub process"
"""How Triton's Python backend says that a model's process has died; it comes as INTERNAL, as exceptions in it do."""
_LONGEST_TEXT: Final = 300

REFUSED: Final = "refused: "
BUSY: Final = "busy: "
"""How our own streaming models begin their refusals. (Asked to, with the header `triton_grpc_error`, the server would
end a failed stream with a status; but then 24.10 crashes when the model sends anything more.)"""
_SIGNATURE: Final = re.compile(
    r"\[request id: [^\]]*\] .*\b(expected|unexpected|expects|Expected|batch-size)\b", re.DOTALL
)
"""The server's words for inputs that are not those the model declares."""
_GOES_AWAY: Final = (
    "unknown model",
    "not at ready state",
    "no available versions",
    "stopping",
    "stopped",
    "queue size",
)


class InferenceError(MultimoodError):
    """The model refuses this input, or failed on it; the same call will fail again."""

    code = "inference"


class DeadModelError(UnavailableError):
    """The process that runs the model has died; it takes seconds until somebody has reloaded it."""

    code = "dead_model"


def failure(status: str, text: str, whom: str) -> MultimoodError:
    """Give the exception of our family for a gRPC status name and the server's text.

    The text is passed on only where the server names tensors and shapes. An exception inside a model could quote what
    a person said: of that, no more than where to look.
    """
    if status == "DEADLINE_EXCEEDED":
        return DeadlineExceededError(f"{whom} did not answer within the call's deadline")
    if status in _LATER:
        return UnavailableError(f"{whom} is not available ({status}): is the server up and the model loaded?")
    if _DEAD_PROCESS in text:
        return DeadModelError(f"the process of {whom} has died and has to be reloaded")
    if status == "INVALID_ARGUMENT":
        return InferenceError(f"{whom} refuses the input: {text[:_LONGEST_TEXT]}")
    return InferenceError(f"{whom} failed ({status}): see the server's log")


def stream_failure(text: str, whom: str) -> MultimoodError:
    """Give the exception of our family for a failed stream, of which the server tells nothing but a text."""
    if text.startswith(REFUSED) or _SIGNATURE.match(text):
        return failure("INVALID_ARGUMENT", text.removeprefix(REFUSED), whom)
    if text.startswith(BUSY) or any(part in text for part in _GOES_AWAY):
        return failure("UNAVAILABLE", text, whom)
    return failure("UNKNOWN", text, whom)


@contextmanager
def translated(whom: str) -> Iterator[None]:
    """Turn what the client library raises into exceptions of our family."""
    try:
        yield
    except InferenceServerException as error:
        status = str(error.status() or "UNKNOWN").removeprefix("StatusCode.")
        raise failure(status, str(error.message() or ""), whom) from None
    except grpc.RpcError as error:
        raise failure(error.code().name, str(error.details() or ""), whom) from None
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # Nobody cancelled us: the library's word for a call that went down with its connection.
        raise UnavailableError(f"the connection to {whom} was closed during the call") from None
