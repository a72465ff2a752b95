"""Why a language model did not write. Never with words of the prompt or the answer."""

from multimood.errors import MultimoodError, UnavailableError


class RefusedError(MultimoodError):
    """The model or its server will not answer this request; the same request will be refused again."""

    code = "generation_refused"


class BusyError(UnavailableError):
    """The server has too much to do; `retry_after_s` is its own word for when to come back (0: it gave none)."""

    code = "generation_busy"

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
