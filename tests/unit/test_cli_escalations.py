"""`multimood escalations` around records in memory: what is listed, how it is taken over, what is refused."""

import json
from collections.abc import Sequence

import pytest
from typer.testing import CliRunner, Result

from multimood.cli import app, escalations
from multimood.clock import now_us
from multimood.contracts.v1 import events_pb2 as pb
from multimood.errors import UnavailableError
from multimood.safety import CrisisPolicy, Handover, Handovers
from multimood.safety.handover import noticed, raised
from multimood.settings import KafkaSettings
from multimood.topics import Topic

pytestmark = pytest.mark.unit

POLICY = CrisisPolicy.load()


class Broker:
    """Both topics, and a publisher that writes to them."""

    def __init__(self) -> None:
        self.records: list[pb.Escalation | pb.Acknowledgement] = []
        self.away = False

    def crisis(self, name: str, level: pb.RiskLevel, ago_s: int) -> None:
        context = pb.Context(tenant="t", conversation_id=f"c[{name}]", utterance_id=f"u-{name}", locale="de")
        self.records.append(
            raised(
                context, level=level, rules=("r",), version="v", identity=f"e-{name}", policy=POLICY,
                now_us=now_us() - ago_s * 1_000_000,
            )
        )  # fmt: skip

    async def open(self, _kafka: KafkaSettings) -> Sequence[Handover]:
        if self.away:
            raise UnavailableError("no broker answers")
        handovers = Handovers()
        for record in self.records:
            handovers.see(record)
        return handovers.open(now_us())

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def publish(self, _topic: Topic, message: pb.Acknowledgement, _event_id: str | None = None) -> None:
        self.records.append(message)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    made = Broker()
    monkeypatch.setenv("MULTIMOOD_KAFKA_BROKERS", "127.0.0.1:9")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(escalations, "open_escalations", made.open)
    monkeypatch.setattr(escalations, "Publisher", lambda _kafka, _service: made)
    made.crisis("new", pb.RISK_LEVEL_IMMINENT, 90)
    made.crisis("old", pb.RISK_LEVEL_ELEVATED, 2 * 3600)
    known = Handover.of(made.records[-1])
    made.records.append(noticed(known, POLICY, now_us()))
    return made


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["escalations", *arguments])


@pytest.mark.parametrize("arguments", [(), ("ls",)])
def test_it_lists_the_oldest_first(broker: Broker, arguments: Sequence[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 0
    _, old, new = result.stdout.splitlines()
    assert old.split() == ["e-old", "elevated", "2", "h", "t/c[old]", "1", "service_lead"]
    assert new.split() == ["e-new", "imminent", "1", "min", "30", "s", "t/c[new]", "0", "on_call"]


@pytest.mark.parametrize("arguments", [("--json",), ("ls", "--json")])
def test_for_programs_it_is_json(broker: Broker, arguments: Sequence[str]) -> None:
    old, new = json.loads(run(*arguments).stdout)
    assert (old["escalation_id"], old["level"], old["notices"], old["told"]) == ("e-old", "elevated", 1, "service_lead")
    assert (new["tenant"], new["conversation_id"], new["utterance_id"]) == ("t", "c[new]", "u-new")
    assert (new["locale"], new["notices"]) == ("de", 0)
    assert 90 <= new["age_s"] < 120
    assert new["opened_at"].endswith("+00:00")


def test_who_takes_it_over_ends_it(broker: Broker) -> None:
    result = run("ack", "e-new", "--by", " night shift ", "--note", "called back")
    assert result.exit_code == 0
    assert result.stdout.startswith("e-new acknowledged by night shift: open for 1 min 30 s")
    taken = broker.records[-1]
    assert isinstance(taken, pb.Acknowledgement)
    assert (taken.by, taken.note, taken.context.conversation_id) == ("night shift", "called back", "c[new]")
    assert [one["escalation_id"] for one in json.loads(run("--json").stdout)] == ["e-old"]
    assert run("ack", "e-new", "--by", "me").exit_code == 1, "it is open no more"


def test_nothing_open_is_said_so(broker: Broker) -> None:
    broker.records.clear()
    assert run().stdout.strip() == "no open escalations"
    assert json.loads(run("--json").stdout) == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("ack", "e-none", "--by", "me"), "'e-none'"),
        (("ack", "e-new", "--by", "  "), "say who takes over"),
        (("ack", "e-new", "--by", "x" * 65), "65 characters"),
        (("ack", "e-new", "--by", "a\nb"), "printable"),
    ],
)
def test_what_cannot_be_meant_is_refused(broker: Broker, arguments: Sequence[str], complaint: str) -> None:
    before = len(broker.records)
    result = run(*arguments)
    assert result.exit_code == 1
    assert complaint in result.stderr
    assert len(broker.records) == before


def test_without_a_broker_it_says_so(broker: Broker) -> None:
    broker.away = True
    for arguments in ((), ("--json",), ("ack", "e-new", "--by", "me")):
        result = run(*arguments)
        assert result.exit_code == 1
        assert "no broker answers" in result.stderr


def test_a_clock_that_is_behind_closes_what_was_listed(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(escalations, "now_us", lambda: 1)
    assert run("ack", "e-new", "--by", "me").exit_code == 0
    assert [one["escalation_id"] for one in json.loads(run("--json").stdout)] == ["e-old"]
