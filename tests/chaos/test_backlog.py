"""A backlog while the text encoder is away, and its end; `python -m benchmarks.backlog` does the same with any number.

In CI a small one: every loop, limit and pause of the large one is met, only the memories of what was seen are not full.
"""

import logging
import os
from pathlib import Path

import pytest

from benchmarks import backlog

logger = logging.getLogger(__name__)
pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

UTTERANCES = int(os.environ.get("MULTIMOOD_BACKLOG_UTTERANCES", "5000"))


def test_a_backlog_is_joined_whole_in_order_and_in_flat_memory(tmp_path: Path) -> None:
    report = backlog.run(UTTERANCES, tmp_path, logger.warning)
    assert (report["joined"], report["complete"]) == (UTTERANCES, UTTERANCES), report
    assert report["disordered"] == 0
    assert report["dead_letters"] == 0
    assert not any(report["lag_at_the_end"].values()), report["lag_at_the_end"]
    assert report["sound"], {name: value for name, value in report.items() if name != "phases"}
