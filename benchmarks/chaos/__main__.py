"""`python -m benchmarks.chaos --kills N --report FILE [--seed N] [--rate R] [--data DIR]`; exit code 1 if unsound."""

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.chaos.run import Orders, run
from multimood.audit.summary import FAULTS


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--report", type=Path, help="where to write the report as JSON")
    parser.add_argument("--seed", type=int, default=1, help="of the plan and of the traffic")
    parser.add_argument("--rate", type=float, default=1.0, help="utterances a second")
    parser.add_argument("--gap", type=float, nargs=2, default=(1.0, 5.0), help="seconds between acts, least and most")
    parser.add_argument("--data", type=Path, help="a new folder to keep the system's state and logs in")
    arguments = parser.parse_args()
    orders = Orders(arguments.kills, arguments.seed, arguments.rate, tuple(arguments.gap))
    with ExitStack() as stack:
        folder = arguments.data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="multimood-chaos-")))
        report = run(orders, folder, lambda line: print(line, flush=True))
    text = json.dumps(report, indent=1)
    if arguments.report is not None:
        arguments.report.write_text(text + "\n")
    print(text)
    return 1 if any(report[flag] for flag in (*FAULTS, "unconfirmed")) else 0


if __name__ == "__main__":
    sys.exit(main())
