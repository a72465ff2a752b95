"""The experience log in a real S3 store: rows of an object that is written again are found too."""

import asyncio
import json
import secrets
from pathlib import Path

import pytest
from experience_log import made_rows
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from multimood.cli import app
from multimood.cli.demo import fetch_experience
from multimood.errors import DeadlineExceededError
from multimood.experience import SCHEMA, Bucket, Folder, Pseudonyms, Row, rows
from multimood.experience.table import encode
from multimood.local.store import ObjectStore
from multimood.settings import PseudonymSettings, StoreSettings
from multimood.store import Store

pytestmark = pytest.mark.integration


def settings_of(server: ObjectStore) -> StoreSettings:
    return StoreSettings(
        endpoint=server.endpoint, secure=False, access_key=server.credentials.access_key,
        secret_key=SecretStr(server.credentials.secret_key), media_bucket="media", experience_bucket="experience",
    )  # fmt: skip


def row(utterance: str) -> Row:
    return {"row_id": f"row-{utterance}", "tenant": "acme", "utterance_id": utterance, "conversation_id": "demo-1",
            "reward": 0.5}  # fmt: skip


def named(settings: StoreSettings, utterance: str) -> str:
    return Pseudonyms.of(PseudonymSettings(), settings).utterance("acme", utterance)


async def write(settings: StoreSettings, name: str, utterances: list[str]) -> None:
    store = Store(settings)
    key = f"experience/v2/date=2026-01-02/{name}.parquet"
    found = [row(named(settings, one)) for one in utterances]
    await store.put("experience", key, encode(found, SCHEMA), "application/octet-stream")
    await store.close()


def test_some_utterances_are_fetched_into_one_file(store: ObjectStore, tmp_path: Path) -> None:
    """What the demo ends with, on objects as the reward service leaves them."""
    settings, wanted, other = settings_of(store), [secrets.token_hex(4) for _ in range(3)], secrets.token_hex(4)
    asyncio.run(write(settings, "reply-0-1", [wanted[0], other]))
    asyncio.run(write(settings, "reply-1-1", [wanted[1]]))
    with pytest.raises(DeadlineExceededError, match="2 of 3"):
        fetch_experience(settings, wanted, tmp_path / "out", within_s=0.1)
    asyncio.run(write(settings, "reply-1-1", [wanted[1], wanted[2]]))
    path = fetch_experience(settings, wanted, tmp_path / "out", within_s=5)
    assert path == tmp_path / "out" / "demo-1.parquet"
    assert sorted(found["utterance_id"] for found in rows(Folder(path))) == sorted(
        named(settings, one) for one in wanted
    )
    with Bucket(settings) as bucket:
        assert {found["utterance_id"] for found in rows(bucket)} >= {named(settings, one) for one in (*wanted, other)}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["experience", *arguments])


def test_a_bucket_is_checked_exported_and_compacted(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prefix of its own in the bucket: the commands take any S3 path."""
    settings, own = settings_of(store), f"copy-{secrets.token_hex(4)}"
    for name, value in {
        "ENDPOINT": store.endpoint, "SECURE": "false", "ACCESS_KEY": store.credentials.access_key,
        "SECRET_KEY": store.credentials.secret_key,
    }.items():  # fmt: skip
        monkeypatch.setenv(f"MULTIMOOD_S3_{name}", value)
    made = made_rows(6, 3)

    async def fill() -> None:
        client = Store(settings)
        for window, at in enumerate(range(0, 18, 6)):
            key = f"{own}/experience/v2/date=2026-09-21/reply-0-{window}.parquet"
            await client.put("experience", key, encode(made[at : at + 6], SCHEMA), "application/octet-stream")
        await client.close()

    asyncio.run(fill())
    log = f"s3://experience/{own}"
    sound = run("check", log, "--json")
    assert sound.exit_code == 0, sound.output
    assert json.loads(sound.stdout)["rows"] == 18
    done = run("compact", log, "--after-days", "1", "--json")
    assert json.loads(done.stdout) == {"days": 1, "small": 3, "large": 1, "kept": 0}
    after = json.loads(run("check", log, "--json").stdout)
    assert (after["rows"], after["objects"], after["sound"]) == (18, 1, True)
    exported = run("export", log, "--to", "obp", "--out", str(tmp_path / "obp"), "--json")
    assert json.loads(exported.stdout)["items"] == 18
    missing = run("check", "s3://no-such-bucket-here")
    assert (missing.exit_code, "error:" in missing.output) == (1, True)
