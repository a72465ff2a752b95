"""Who may call: keys, their file, and changes to it."""

import json
import os
import stat
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from multimood.apikeys import KeyRing, add_key, new_key, read_keys, revoke_keys
from multimood.cli.keys import app
from multimood.errors import ConfigurationError, NotFoundError
from services.gateway.auth import LOCAL_TENANT, Authenticator, ensure_local_key
from services.gateway.refusals import UnauthenticatedError

pytestmark = pytest.mark.unit


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def bearer(key: str) -> list[tuple[str, str]]:
    return [("user-agent", "x"), ("authorization", f"Bearer {key}")]


def test_a_key_opens_its_own_tenant_only(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    acme, other = add_key(file, "acme"), add_key(file, "other")
    keys = Authenticator(file)
    assert keys.tenant(bearer(acme)) == "acme"
    assert keys.tenant([("authorization", f"bearer {other}")]) == "other"


def test_the_file_has_no_key_in_it_and_is_the_owners(tmp_path: Path) -> None:
    file = tmp_path / "sub" / "keys.json"
    key = add_key(file, "acme")
    assert key not in file.read_text()
    assert key[-43:] not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "change", ["other secret", "other id", "cut", "longer", "case", "no prefix", "huge", "not ascii"]
)
def test_a_wrong_key_opens_nothing(change: str) -> None:
    key, entry = new_key("acme")
    ring = KeyRing([entry])
    assert ring.tenant_of(key) == "acme"
    secret = key[-43:]
    wrong = {
        "other secret": key[:-1] + ("A" if key[-1] != "A" else "B"), "other id": f"mm_000000000000_{secret}",
        "cut": key[:-1], "longer": key + "A", "case": key.swapcase(), "no prefix": key[3:], "huge": key + "A" * 10**6,
        "not ascii": key[:-1] + "\udcff",
    }[change]  # fmt: skip
    assert ring.tenant_of(wrong) is None


@pytest.mark.parametrize(
    "metadata",
    [None, [], [("authorization", "")], [("authorization", "Bearer")], [("authorization", "Bearer ")],
     [("authorization", b"Bearer x")], [("authorization", "Basic eDp5")], [("authorization", "mm_1_2")]],
)  # fmt: skip
def test_calls_without_a_key_are_told_what_to_send(tmp_path: Path, metadata: list[tuple[str, str]] | None) -> None:
    add_key(tmp_path / "keys.json", "acme")
    with pytest.raises(UnauthenticatedError, match="key"):
        Authenticator(tmp_path / "keys.json").tenant(metadata)


def test_two_keys_in_one_call_are_refused(tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys.json", "acme")
    with pytest.raises(UnauthenticatedError, match="once"):
        Authenticator(tmp_path / "keys.json").tenant(bearer(key) + bearer(key))


def test_added_and_revoked_keys_are_taken_up_while_running(tmp_path: Path) -> None:
    file, clock = tmp_path / "keys.json", Clock()
    first = add_key(file, "acme")
    keys = Authenticator(file, clock=clock)
    second = add_key(file, "late")
    with pytest.raises(UnauthenticatedError):
        keys.tenant(bearer(second))  # looked at the file less than a second ago
    clock.now += 1.1
    assert keys.tenant(bearer(second)) == "late"
    revoke_keys(file, tenant="acme")
    clock.now += 1.1
    with pytest.raises(UnauthenticatedError):
        keys.tenant(bearer(first))


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"version": 1}', '{"version": 2, "keys": []}', '{"version":1,"keys":[{}]}']
)
def test_a_broken_file_stops_a_start_but_not_a_running_gateway(tmp_path: Path, content: str) -> None:
    file, clock = tmp_path / "keys.json", Clock()
    key = add_key(file, "acme")
    keys = Authenticator(file, clock=clock)
    file.write_text(content)
    clock.now += 1.1
    assert keys.tenant(bearer(key)) == "acme"
    with pytest.raises(ConfigurationError, match=r"keys\.json"):
        Authenticator(file)


def test_a_file_with_an_impossible_tenant_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    add_key(file, "acme")
    raw = json.loads(file.read_text())
    raw["keys"][0]["tenant"] = "../other"
    file.write_text(json.dumps(raw))
    with pytest.raises(ConfigurationError, match="tenant"):
        read_keys(file)


@pytest.mark.parametrize("tenant", ["", ".", "..", "a/b", "a b", "ä", "x" * 65, "-x", "a\n"])
def test_tenants_that_cannot_be_folders_or_keys_are_refused(tmp_path: Path, tenant: str) -> None:
    with pytest.raises(ConfigurationError, match="tenant"):
        add_key(tmp_path / "keys.json", tenant)


def test_revoking_what_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nobody"):
        revoke_keys(tmp_path / "keys.json", tenant="nobody")


def test_the_local_key_is_made_once_and_again_when_it_is_lost(tmp_path: Path) -> None:
    keys, key_file = tmp_path / "gateway" / "keys.json", tmp_path / "run" / "api_key"
    ensure_local_key(keys, key_file)
    first = key_file.read_text().strip()
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    ensure_local_key(keys, key_file)
    assert key_file.read_text().strip() == first
    assert len(read_keys(keys)) == 1
    key_file.unlink()
    ensure_local_key(keys, key_file)
    second = key_file.read_text().strip()
    assert {Authenticator(keys).tenant(bearer(key)) for key in (first, second)} == {LOCAL_TENANT}


def test_a_call_costs_microseconds_right_or_wrong(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    good = bearer(add_key(file, "acme"))
    keys = Authenticator(file)
    started = time.perf_counter()
    for _ in range(1000):
        keys.tenant(good)
        with pytest.raises(UnauthenticatedError):
            keys.tenant(bearer("mm_000000000000_" + "A" * 43))
    assert time.perf_counter() - started < 1.0, "1000 right and 1000 wrong keys should take about 20 ms"


def test_keys_from_the_command_line(tmp_path: Path) -> None:
    runner, file = CliRunner(), tmp_path / "keys.json"
    environment = {**os.environ, "COLUMNS": "120"}
    added = runner.invoke(app, ["add", "--tenant", "acme", "--file", str(file)], env=environment)
    assert added.exit_code == 0
    assert Authenticator(file).tenant(bearer(added.stdout.strip())) == "acme"
    listed = runner.invoke(app, ["ls", "--file", str(file)], env=environment)
    assert "acme" in listed.stdout
    assert added.stdout.strip() not in listed.stdout
    assert runner.invoke(app, ["revoke", "--file", str(file)]).exit_code == 2
    assert runner.invoke(app, ["revoke", "--tenant", "acme", "--file", str(file)]).exit_code == 0
    assert runner.invoke(app, ["revoke", "--tenant", "acme", "--file", str(file)]).exit_code == 1
    assert read_keys(file) == []
    refused = runner.invoke(app, ["add", "--tenant", "a/b", "--file", str(file)])
    assert (refused.exit_code, refused.stdout) == (1, "")
