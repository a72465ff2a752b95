"""Why a judge behind an endpoint gave no answer."""

from typing import Final

from multimood.errors import ConfigurationError, UnavailableError
from multimood.generation.errors import BusyError
from multimood.generation.refusal import UNFIT, Refusal

BUSY: Final = frozenset((429, 503))
RETRIED: Final = frozenset((408, 409, 425, 429, 500, 502, 503, 504))
_TOO_LARGE: Final = 413
_ELSEWHERE: Final = range(300, 400)


class UnusableError(UnavailableError):
    """It answered, but not what was asked for; it cost its tokens all the same."""

    code = "unusable"


class WithheldError(UnavailableError):
    """The model or its server will not judge this one case: too long, filtered, or declined."""

    code = "withheld"
    retryable = False


def failure_of(
    whom: str, status: int, refusal: Refusal, *, wait_s: float = 0.0, took_others: bool = False
) -> ConfigurationError | UnavailableError:
    """An HTTP status other than success as an error; `wait_s` is how long the endpoint asks to be left alone.

    Who took other requests is configured rightly: then it is this one that it does not take.
    """
    said = refusal.after(status)
    if status in BUSY:
        later = f" and wants to be asked again in {wait_s:g} s" if wait_s else ""
        return BusyError(f"{whom} is busy ({said}){later}", wait_s)
    if status in RETRIED:
        return UnavailableError(f"{whom} answered {said}")
    if refusal.cause == "length" or status == _TOO_LARGE:
        return WithheldError(f"{whom} cannot take a dialogue as long as this ({said}): give it more context")
    if refusal.cause == "content" or (status in UNFIT and took_others):
        return WithheldError(f"{whom} does not take this one case ({said})")
    if status in _ELSEWHERE:
        return ConfigurationError(f"{whom} sends elsewhere ({said}): give the address that it sends to")
    return ConfigurationError(f"{whom} refused ({said}): check its URL (with its /v1), key and model name")
