"""How a call can fail, as exceptions with their gRPC status. Messages name the field, its shape and the remedy."""

from typing import ClassVar

import grpc

from multimood.errors import DeadlineExceededError, MultimoodError, UnavailableError


class RefusedCallError(MultimoodError):
    """A call that is answered with an error status; `code` labels the metric."""

    status: ClassVar[grpc.StatusCode] = grpc.StatusCode.INVALID_ARGUMENT
    retry_after_s: float | None = None


class InvalidRequestError(RefusedCallError):
    """A request that cannot be what its field promises. `shape` describes the value, it never quotes it."""

    code = "invalid_argument"

    def __init__(self, field: str, shape: str, remedy: str) -> None:
        super().__init__(f"{field}: {shape}; {remedy}")
        self.field = field


class UnauthenticatedError(RefusedCallError):
    """No key, or one that opens nothing."""

    code = "unauthenticated"
    status = grpc.StatusCode.UNAUTHENTICATED


class OverLimitError(RefusedCallError):
    """A limit is used up for the moment."""

    status = grpc.StatusCode.RESOURCE_EXHAUSTED

    def __init__(self, limit: str, message: str, retry_after_s: float) -> None:
        super().__init__(f"{message}; try again in {retry_after_s:.1f} s")
        self.limit = limit
        self.retry_after_s = retry_after_s

    code = "over_limit"


class UploadTimeoutError(RefusedCallError):
    """The client did not finish sending in time."""

    code = "upload_timeout"
    status = grpc.StatusCode.DEADLINE_EXCEEDED


class ReplyTimeoutError(RefusedCallError):
    """The utterance was accepted, but its reply is not there yet."""

    code = "reply_timeout"
    status = grpc.StatusCode.DEADLINE_EXCEEDED


def status_of(error: MultimoodError) -> grpc.StatusCode:
    """Give the gRPC status that an error is answered with."""
    if isinstance(error, RefusedCallError):
        return error.status
    if isinstance(error, DeadlineExceededError | UnavailableError):
        return grpc.StatusCode.UNAVAILABLE
    return grpc.StatusCode.INTERNAL
