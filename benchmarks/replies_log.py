"""Memory of a log's way into a trainer: `python -m benchmarks.replies_log [--rows 2000] [--json FILE]`.

Writes logs of invented rows, one, three and ten times as many, in objects of the same size, and reads each in a process
of its own as SFT does: rows into chats, prompts hashed, none of it kept. The peak of memory must not grow with the log.
"""

import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from benchmarks.harness import arguments, machine
from multimood.experience import Folder, Row, rows
from multimood.experience.exports.wishes import Wishes
from multimood.experience.schema import COLUMNS, SCHEMA
from multimood.experience.table import encode
from multimood.learning.replies.contexts import Asking
from multimood.learning.replies.logged import FromLog, examples
from multimood.taxonomy import MESC_STRATEGIES

TIMES: Final = (1, 3, 10)
IN_OBJECT: Final = 200
TURNS: Final = 11
WORDS: Final = "I keep thinking about the move and nobody asks me how it was"


def made(number: int) -> Row:
    """An invented row of the size that real ones have."""
    chance = np.random.default_rng(number)
    said = [
        {
            "role": ("user", "system")[place % 2],
            "text": f"{WORDS} {number}/{place}.",
            "utterance_id": None,
            "label": None,
        }
        for place in range(TURNS)
    ]
    row: Row = {column.name: None for column in COLUMNS}
    return row | {
        "row_id": f"00000000-0000-0000-0000-{number:012x}", "schema_version": 2, "tenant": "acme",
        "conversation_id": f"c{number // 5}", "utterance_id": f"u{number}", "has_decision": True, "has_reply": True,
        "step": number % 5, "dialogue": said, "chosen": MESC_STRATEGIES[number % len(MESC_STRATEGIES)],
        "intensity": 0.5,
        "user_emotion": [{"label": "sadness", "p": 0.8}], "system_emotion": [{"label": "neutral", "p": 1.0}],
        "reply_source": "generated", "reply_text": f"That sounds hard, {number}. What happened then?", "reward": 0.8,
        "crisis_gate_failed": False, "reply_offset": number, "state": chance.random(200).tolist(),
        "decided_at": datetime(2026, 11, 1, tzinfo=UTC),
    }  # fmt: skip


def write(folder: Path, count: int) -> None:
    """A log of so many rows."""
    place = folder / "experience/v2/date=2026-11-01"
    place.mkdir(parents=True)
    numbers = iter(range(count))
    for number, some in enumerate(iter(lambda: list(islice(numbers, IN_OBJECT)), [])):
        (place / f"reply-0-{number}.parquet").write_bytes(encode([made(one) for one in some], SCHEMA))


def read(folder: Path) -> dict[str, Any]:
    """Read it as SFT does; gives what it took."""
    before, begun = peak_mib(), time.monotonic()
    columns = [column.name for column in COLUMNS]
    how = FromLog(Asking.load(), Wishes(), 0.6, 0)
    found = sum(1 for _ in examples(rows(Folder(folder), columns=columns), how))
    seconds, peak = time.monotonic() - begun, peak_mib()
    return {"examples": found, "seconds": round(seconds, 2), "peak_mib": peak, "grown_mib": round(peak - before, 1)}


def peak_mib() -> float:
    """Most memory that this process has held. Not by getrusage: that begins with what its parent held."""
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return round(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024, 1)


def main() -> None:
    """Write the logs, read each in a process of its own."""
    parser = arguments(__doc__)
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--read", type=Path)
    asked = parser.parse_args()
    if asked.read is not None:
        print(json.dumps(read(asked.read)))
        return
    found = []
    with TemporaryDirectory() as folder:
        for times in TIMES:
            write(Path(folder, str(times)), times * asked.rows)
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.replies_log", "--read", str(Path(folder, str(times)))],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
            found.append({"rows": times * asked.rows, **json.loads(done.stdout)})
            print(found[-1], file=sys.stderr)
    text = json.dumps({"machine": machine(), "logs": found}, indent=1)
    if asked.json is not None:
        asked.json.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
