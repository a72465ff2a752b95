"""A worker as a process: its command line, its settings, its memory, its exit code."""

import argparse
import asyncio
import gc
import logging
import sys
from collections.abc import Callable, Sequence
from typing import Final

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from multimood import telemetry
from multimood.bus.worker import Worker, WorkerSettings, end_within
from multimood.errors import MultimoodError
from multimood.settings import HealthSettings, KafkaSettings, TelemetrySettings, describe, faults_of

logger = logging.getLogger(__name__)

SWEEP_S: Final = 10.0
LIVE_OBJECTS: Final = 1_000_000


def run_worker(
    service: str,
    purpose: str,
    make: Callable[[WorkerSettings], Worker],
    reads: Sequence[type[BaseSettings]] = (),
) -> None:
    """Run a service's worker as this process: the body of `python -m services.<name>`.

    `make` is called inside the running event loop. Exit codes: 0 after SIGTERM, 1 after a crash, 2 when the
    configuration cannot work.
    """
    classes: tuple[type[BaseSettings], ...] = (KafkaSettings, *reads, HealthSettings, TelemetrySettings)
    argparse.ArgumentParser(
        prog=f"python -m services.{service}",
        description=purpose,
        epilog="environment:\n" + describe(classes),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()

    async def main() -> int:
        sweeping = asyncio.create_task(_sweep())
        code = await make(WorkerSettings()).run()
        sweeping.cancel()
        end_within(1.0, code)  # what is left are threads of clients
        return code

    try:
        telemetry.setup(service, TelemetrySettings())
        code = asyncio.run(main())
    except MultimoodError as error:
        logger.critical("cannot start", extra={"code": error.code, "reason": str(error)})
        code = 2
    except ValidationError as error:
        logger.critical("a setting cannot work", extra={"settings": error.title, "faults": faults_of(error)})
        code = 2
    sys.exit(code)


async def _sweep() -> None:
    """Look for cycles of garbage by the clock, not whenever many objects were made.

    Tens of thousands of records that wait are no garbage, and records on their way make no cycles: looking through all
    of them after every 50,000 objects cost the joiner a sixth of its speed; the interpreter does it after 700. What is
    there at the beginning stays, and is not looked at again. The limit is for what grows faster than the clock ticks.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(LIVE_OBJECTS, 50, 50)
    while True:
        await asyncio.sleep(SWEEP_S)
        gc.collect(1)
