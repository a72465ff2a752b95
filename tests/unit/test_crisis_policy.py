"""The crisis policy: what the file may say, and when whom it tells."""

from pathlib import Path

import pytest

from multimood import assets
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import ConfigurationError
from multimood.safety.crisis_policy import ASSET, CrisisPolicy

pytestmark = pytest.mark.unit

SHIPPED = assets.read(ASSET).decode()
POLICY = CrisisPolicy.load()
IMMINENT = POLICY.of(pb.RISK_LEVEL_IMMINENT)


def test_somebody_is_told_again_and_again_and_then_somebody_else_without_end() -> None:
    told, at = [], 0.0
    for _ in range(10):
        at = IMMINENT.next_after(at)
        told.append((at, IMMINENT.step_at(at)[0].role))
    assert told == [
        (60, "on_call"), (120, "on_call"),
        (180, "supervisor"), (240, "supervisor"), (300, "supervisor"), (360, "supervisor"), (420, "supervisor"),
        (480, "service_lead"), (780, "service_lead"), (1080, "service_lead"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("since", "due"), [(0, 60), (59.9, 60), (60, 120), (179, 180), (180, 240), (479.5, 480), (1e6, 1_000_080)]
)
def test_the_next_time_is_after_the_last(since: float, due: float) -> None:
    assert IMMINENT.next_after(since) == due


@pytest.mark.parametrize(
    ("since", "role", "end"), [(0, "on_call", 180), (180, "supervisor", 480), (9e9, "service_lead", None)]
)
def test_a_role_has_its_time(since: float, role: str, end: float | None) -> None:
    step, until = IMMINENT.step_at(since)
    assert (step.role, until) == (role, end)


def test_imminent_is_nowhere_slower_than_elevated() -> None:
    elevated = POLICY.of(pb.RISK_LEVEL_ELEVATED)
    roles = [step.role for step in elevated.steps]
    for at in range(0, 10_000, 7):
        assert IMMINENT.next_after(at) - at <= elevated.steps[-1].every_s
        assert roles.index(IMMINENT.step_at(at)[0].role) >= roles.index(elevated.step_at(at)[0].role)


def test_both_levels_wait_for_a_human_and_the_version_names_the_bytes(tmp_path: Path) -> None:
    assert IMMINENT.hold
    assert POLICY.of(pb.RISK_LEVEL_ELEVATED).hold
    own = tmp_path / "policy.toml"
    own.write_text(SHIPPED + "\n")
    assert CrisisPolicy.load(own).version.rpartition("-")[0] == POLICY.version.rpartition("-")[0]
    assert CrisisPolicy.load(own).version != POLICY.version


@pytest.mark.parametrize("level", [pb.RISK_LEVEL_NONE, pb.RISK_LEVEL_LOW, pb.RISK_LEVEL_UNSCREENED])
def test_nothing_is_laid_down_for_what_is_no_crisis(level: pb.RiskLevel) -> None:
    with pytest.raises(KeyError):
        POLICY.of(level)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("on_call =", "on_duty =", "'on_call', which is none of"),
        ("[levels.elevated]", "[levels.low]", "levels.low"),
        (
            SHIPPED[SHIPPED.index("[levels.imminent]") : SHIPPED.index("\n[evidence]")],
            "",
            "levels.imminent. is missing",
        ),
        ("every_s = 60,", "every_s = 1,", "greater than or equal to 5"),
        (", for_s = 180", "", "every step but the last"),
        ("every_s = 300 },", "every_s = 300, for_s = 600 },", "it goes on"),
        ('again = "escalated"', 'again = "shrug"', "levels.elevated.again"),
        ('"sadness"', '"gloom"', "no such emotion: gloom"),
        ("share = 0.5", "share = 1.5", "evidence.share"),
        ("person = 0.5", "person = 0", "low.person"),
        ("person = 0.5", "persons = 0.5", "low.persons"),
        ("hold = true", "held = true", "hold"),
        ("edition", "editon", "edition"),
        ("edition =", "edition", "not a TOML file"),
    ],
)
def test_what_is_left_open_is_refused_with_its_place(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    assert old in SHIPPED
    own = tmp_path / "own.toml"
    own.write_text(SHIPPED.replace(old, new))
    with pytest.raises(ConfigurationError, match=rf"own\.toml.*{complaint}"):
        CrisisPolicy.load(own)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.toml"):
        CrisisPolicy.load(tmp_path / "absent.toml")
