"""`multimood ope` on a log in a real S3 store, whole and below a prefix."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from multimood.cli import app
from multimood.local.store import ObjectStore
from multimood.settings import StoreSettings
from multimood.store import Store

pytestmark = pytest.mark.integration


async def upload(settings: StoreSettings, folder: Path, files: list[Path]) -> None:
    store = Store(settings)
    for file in files:
        key = file.relative_to(folder).as_posix()
        for place in (key, f"copies/{key}"):
            await store.put(settings.experience_bucket, place, file.read_bytes(), "application/octet-stream")
    await store.close()


def test_a_bucket_and_a_part_of_it(store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = store.credentials
    for name, value in (
        ("ENDPOINT", store.endpoint), ("SECURE", "false"), ("ACCESS_KEY", keys.access_key),
        ("SECRET_KEY", keys.secret_key), ("MEDIA_BUCKET", "media"), ("EXPERIENCE_BUCKET", "media"),
    ):  # fmt: skip
        monkeypatch.setenv(f"MULTIMOOD_S3_{name}", value)
    runner, log, out = CliRunner(), tmp_path / "log", tmp_path / "out.json"
    assert runner.invoke(app, ["simulate", "--log", str(log), "--conversations", "60"]).exit_code == 0
    settings = StoreSettings().model_copy(update={"experience_bucket": "experience"})
    asyncio.run(upload(settings, log, sorted(log.rglob("*.parquet"))))

    ask = ["--policy", "uniform", "--reward", "rating", "--estimators", "snips", "--json", str(out)]
    given = runner.invoke(app, ["ope", "s3://experience/copies", *ask])
    assert given.exit_code == 0, given.output
    (answer,) = json.loads(out.read_text())["answers"]
    assert answer["low"] <= answer["value"] <= answer["high"]
    assert runner.invoke(app, ["ope", "s3://experience", *ask]).exit_code == 0
    none = runner.invoke(app, ["ope", "s3://experience/nothing", *ask])
    assert none.exit_code == 1
    assert "no rows at all" in none.stderr
    missing = runner.invoke(app, ["ope", "s3://nobody", *ask])
    assert missing.exit_code == 1
    assert "NoSuchBucket" in missing.stderr
