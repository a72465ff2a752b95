"""The embedded mode's own arithmetic: ports, names, state, what is shown."""

import socket
from pathlib import Path
from uuid import UUID

import pytest
from rich.console import Console

from multimood.errors import ConfigurationError, UnavailableError
from multimood.local.credentials import Credentials
from multimood.local.endpoints import Endpoints
from multimood.local.kafka import cluster_id
from multimood.local.places import DataFolder, checkout
from multimood.local.ports import HOST, assign
from multimood.local.process import Identity
from multimood.local.screen import Progress, span, status_table
from multimood.local.services import SERVERS, SERVICES, chosen
from multimood.local.state import PartStatus, SystemState

pytestmark = pytest.mark.unit


def state(**parts: PartStatus) -> SystemState:
    return SystemState(supervisor=Identity(1, -1), ports={"kafka": 1234}, parts=parts)


def test_ports_are_kept_where_free_and_replaced_where_taken() -> None:
    first = assign(["a", "b", "c"])
    assert len(set(first.values())) == 3
    with socket.socket() as taker:
        taker.bind((HOST, first["b"]))
        taker.listen()
        second = assign(["a", "b", "c", "d"], first)
    assert second["a"] == first["a"]
    assert second["c"] == first["c"]
    assert second["b"] != first["b"]
    assert len(set(second.values())) == 4


def test_no_outgoing_connection_takes_a_port_that_was_chosen() -> None:
    begin = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(port < begin for port in assign(map(str, range(50))).values())


def test_a_port_wished_twice_is_given_once() -> None:
    port = assign(["a"])["a"]
    given = assign(["x", "y"], {"x": port, "y": port})
    assert given["x"] == port
    assert given["y"] != port


def test_parts_are_started_in_their_own_order_whatever_the_order_asked_for() -> None:
    assert chosen(["joiner", "gateway", "kafka"]) == ("kafka", "gateway", "joiner")
    assert chosen(None) == (*SERVERS, *(service.name for service in SERVICES))
    with pytest.raises(ConfigurationError, match=r"kafak.*kafka"):
        chosen(["kafak"])


def test_every_listed_service_is_a_folder_and_every_folder_is_listed() -> None:
    folders = {path.parent.name for path in (checkout() / "services").glob("*/__init__.py")}
    assert {service.name for service in SERVICES} == folders


def test_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    before = state(kafka=PartStatus("kafka", "server", "ready", pid=7, started=8, port=9, ready_s=1.5, detail="fine"))
    before.write(folder)
    assert SystemState.read(folder) == before
    assert not before.running
    assert before.parts["kafka"].identity == Identity(7, 8)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"parts": {}, "supervisor": {"pid": 1}}', '{"parts": 3}', "null"])
def test_a_state_file_of_another_version_counts_as_none(tmp_path: Path, content: str) -> None:
    folder = DataFolder(tmp_path)
    folder.state.write_text(content)
    assert SystemState.read(folder) is None


def test_reading_the_state_makes_no_folders(tmp_path: Path) -> None:
    assert SystemState.read(DataFolder(tmp_path / "nowhere")) is None
    assert not (tmp_path / "nowhere").exists()


def test_endpoints_of_a_system_that_does_not_run_say_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="multimood up"):
        Endpoints.of(tmp_path)


def test_a_service_is_told_where_everything_is(tmp_path: Path) -> None:
    ports = {"kafka": 1, "store.s3": 2, "triton.grpc": 3, "gateway.grpc": 4, "gateway.health": 5, "reward.health": 6}
    endpoints = Endpoints(DataFolder(tmp_path), ports)
    keys = Credentials.kept_in(tmp_path / "store" / "credentials.json")
    env = endpoints.service_env("gateway")
    assert env["MULTIMOOD_KAFKA_BROKERS"] == "127.0.0.1:1"
    assert env["MULTIMOOD_S3_ENDPOINT"] == "127.0.0.1:2"
    assert env["MULTIMOOD_S3_SECRET_KEY"] == keys.secret_key
    assert env["MULTIMOOD_TRITON_URL"] == "127.0.0.1:3"
    assert env["MULTIMOOD_GATEWAY_LISTEN"] == "127.0.0.1:4"
    assert env["MULTIMOOD_HEALTH_PORT"] == "5"
    assert env["OMP_NUM_THREADS"] == "1"
    assert "MULTIMOOD_GATEWAY_LISTEN" not in endpoints.service_env("reward")
    assert all(isinstance(value, str) for value in env.values())


def test_the_secret_is_in_no_text_form(tmp_path: Path) -> None:
    keys = Credentials.kept_in(tmp_path / "credentials.json")
    endpoints = Endpoints(DataFolder(tmp_path), {"store.s3": 2})
    assert keys.secret_key not in f"{keys!r} {keys} {endpoints!r}"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.9, "59.9 s"), (61, "1 min 01 s"), (3600, "1 h 00 min"), (7384, "2 h 03 min")],
)
def test_durations_are_written_for_people(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_a_log_shows_each_change_once() -> None:
    console = Console(force_terminal=False, width=100, record=True)
    part = PartStatus("kafka", "server", "waiting")
    with Progress(console) as progress:
        for condition in ("waiting", "starting", "starting", "ready", "ready"):
            part.condition, part.ready_s = condition, 2.0
            progress.show(state(kafka=part))
    lines = console.export_text().splitlines()
    assert [line.split("]")[1].split() for line in lines] == [
        ["kafka", "starting"], ["kafka", "ready", "after", "2.0", "s"],
    ]  # fmt: skip


def test_status_fits_a_terminal_and_shows_lag() -> None:
    parts = {
        name: PartStatus(name, "service", "ready", pid=4_000_000, started=1, port=65_535)
        for name in ("joiner", "reward")
    }
    console = Console(force_terminal=False, width=80, record=True)
    console.print(status_table(state(**parts), {"joiner": 1_234_567}))
    text = console.export_text()
    assert "1234567" in text
    assert max(map(len, text.splitlines())) <= 80


def test_no_cluster_id_looks_like_an_option() -> None:
    dash, other = UUID(int=62 << 122), UUID(int=1)
    assert cluster_id(iter((dash, dash, other)).__next__) == "AAAAAAAAAAAAAAAAAAAAAQ"
    assert len(cluster_id()) == 22
