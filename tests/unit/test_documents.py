"""What the documents point at is there."""

import re
from pathlib import Path

import pytest

from multimood.local.places import checkout

pytestmark = pytest.mark.unit

ROOT = checkout()
LINK = re.compile(r"\]\(([^)#\s]+)")
TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "services/*/*.md", "triton_models/*.md", "multimood/assets/*.md")
    for path in ROOT.glob(pattern)
)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    links = [link for link in LINK.findall(document.read_text()) if "://" not in link]
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_tests_that_are_named_exist(document: Path) -> None:
    named = TEST.findall(document.read_text())
    assert [file for file, _ in named if not (ROOT / file).exists()] == []
    assert [f"{file}::{name}" for file, name in named if name and f"def {name}(" not in (ROOT / file).read_text()] == []


def test_every_scenario_names_its_test() -> None:
    rows = [
        line
        for line in (ROOT / "docs/failure-scenarios.md").read_text().splitlines()
        if line.startswith("|") and not line.startswith("|---") and "shown by" not in line
    ]
    assert len(rows) > 50
    assert [row for row in rows if not TEST.search(row)] == []
