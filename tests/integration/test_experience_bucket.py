"""The experience log in a real S3 store: rows of an object that is written again are found too."""

import asyncio
import secrets
from pathlib import Path

import pytest
from pydantic import SecretStr

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
