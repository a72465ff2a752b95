"""How a case can end."""

from dataclasses import asdict, dataclass
from typing import Any

from multimood.errors import MultimoodError


class FindingError(Exception):
    """Something that must not happen, told by the fuzzer itself."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One case's end. `finding` says what must not have happened; empty: nothing."""

    end: str
    seconds: float = 0.0
    peak_mib: float = 0.0
    """By so much the process' memory grew over what it held before."""
    finding: str = ""

    def fields(self) -> dict[str, Any]:
        return asdict(self)


def is_ours(error: BaseException) -> bool:
    """Whether somebody decided on this error."""
    return isinstance(error, MultimoodError)
