"""The process in which cases run: limited in memory, ended from outside when one takes too long.

Reads lines "<target> <number>", answers each with an `Outcome` as JSON. A case is made from seed, target and number
alone, so that whoever has these three has the input.
"""

import asyncio
import faulthandler
import json
import logging
import os
import random
import re
import resource
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from fuzz.outcome import Outcome

ADDRESS_SPACE: int = 4 << 30
"""Beyond it allocations fail: the machine survives what the oracle of the peak would report."""
Run = Callable[[str, random.Random], tuple[str, float]]
"""Runs one case of a target; tells how it ended, and the peak of a process that did the work for it. Whatever it raises
is a finding."""


def chance_of(seed: str, target: str, number: int) -> random.Random:
    """The source of everything that is random in a case."""
    return random.Random(f"{seed}/{target}/{number}")


def measured(run: Run, target: str, chance: random.Random) -> Outcome:
    """Run a case and see how long it took, and by how much it raised the process' peak of resident memory."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    held, begin = _mib("VmRSS"), time.monotonic()
    end, elsewhere, finding = "finding", 0.0, ""
    try:
        end, elsewhere = run(target, chance)
    except Exception as error:  # noqa: BLE001 - this is what is looked for
        notes = " ".join(getattr(error, "__notes__", ()))
        frames = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
        finding = f"{type(error).__name__}: {str(error)[:200]} {notes} [{' '.join(frames[-4:])}]"
    return Outcome(end, time.monotonic() - begin, max(elsewhere, _mib("VmHWM") - held), finding)


def _mib(name: str) -> float:
    found = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def run_of(kind: str) -> Run:
    """The cases of events, or of media; imported here, so that each process loads what it needs."""
    if kind == "event":
        from fuzz.consumers import meet
        from fuzz.hostile import case_of

        from multimood.topics import BY_NAME

        loop = asyncio.new_event_loop()

        def run_event(target: str, chance: random.Random) -> tuple[str, float]:
            return loop.run_until_complete(meet(case_of(BY_NAME[target], chance))), 0.0

        return run_event
    from fuzz.decoding import Media

    return Media().run


def main() -> None:
    """Answer until the input ends."""
    kind, seed = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is no answer
    faulthandler.enable()
    logging.disable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    run = run_of(kind)
    for line in sys.stdin:
        target, number = line.split()
        print(
            json.dumps(measured(run, target, chance_of(seed, target, int(number))).fields()), file=answers, flush=True
        )


if __name__ == "__main__":
    main()
