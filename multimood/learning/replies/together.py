"""Several processes of accelerate at one run: who writes, who waits."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def first_process_first() -> Iterator[None]:
    """The first process does what is in the block, then the others: they find what it has written."""
    with _state().main_process_first():
        yield


def is_last_to_leave() -> bool:
    """Wait until every process is here; then true for the first of them, which puts the run's folder in order."""
    state = _state()
    state.wait_for_everyone()
    return bool(state.is_main_process)


def processes() -> int:
    """How many there are."""
    return int(_state().num_processes)


def _state() -> Any:
    import torch  # noqa: PLC0415 - of the training environment
    from accelerate import PartialState  # noqa: PLC0415

    return PartialState(cpu=not torch.cuda.is_available())
