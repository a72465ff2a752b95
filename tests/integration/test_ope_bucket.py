"""`multimood ope` on a log in a real S3 store, whole and below a prefix."""

import asyncio
import json
from pathlib import Path

import pytest
from minio import Minio
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


BUCKET = "simulated-log"


@pytest.fixture
def log(store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A simulated log as a folder, and in a bucket that no other test writes to, at its top and below `copies`."""
    keys = store.credentials
    for name, value in (
        ("ENDPOINT", store.endpoint), ("SECURE", "false"), ("ACCESS_KEY", keys.access_key),
        ("SECRET_KEY", keys.secret_key), ("MEDIA_BUCKET", "media"), ("EXPERIENCE_BUCKET", "media"),
    ):  # fmt: skip
        monkeypatch.setenv(f"MULTIMOOD_S3_{name}", value)
    folder = tmp_path / "log"
    simulated = CliRunner().invoke(app, ["simulate", "--log", str(folder), "--conversations", "60"])
    assert simulated.exit_code == 0
    settings = StoreSettings().model_copy(update={"experience_bucket": BUCKET})
    client = Minio(store.endpoint, keys.access_key, keys.secret_key, secure=False)
    if not client.bucket_exists(BUCKET):
        client.make_bucket(BUCKET)
    asyncio.run(upload(settings, folder, sorted(folder.rglob("*.parquet"))))
    return folder


@pytest.mark.usefixtures("log")
def test_a_bucket_and_a_part_of_it(tmp_path: Path) -> None:
    runner, out = CliRunner(), tmp_path / "out.json"
    ask = ["--policy", "uniform", "--reward", "rating", "--estimators", "snips", "--json", str(out)]
    given = runner.invoke(app, ["ope", f"s3://{BUCKET}/copies", *ask])
    assert given.exit_code == 0, given.output
    (answer,) = json.loads(out.read_text())["answers"]
    assert answer["low"] <= answer["value"] <= answer["high"]
    assert runner.invoke(app, ["ope", f"s3://{BUCKET}", *ask]).exit_code == 0
    none = runner.invoke(app, ["ope", f"s3://{BUCKET}/nothing", *ask])
    assert none.exit_code == 1
    assert "no rows at all" in none.stderr
    missing = runner.invoke(app, ["ope", "s3://nobody", *ask])
    assert missing.exit_code == 1
    assert "NoSuchBucket" in missing.stderr


def test_a_policy_is_learned_from_a_bucket_as_from_a_folder(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx", reason="needs onnx: `make train-env`")
    runner, ask = CliRunner(), ["--learner", "direct", "--reward", "rating"]
    monkeypatch.setenv("MULTIMOOD_S3_EXPERIENCE_BUCKET", BUCKET)
    for place, out in (([str(log)], "folder"), ([f"s3://{BUCKET}/copies"], "bucket"), ([], "default")):
        result = runner.invoke(app, ["rl", "train", *place, "--out", str(tmp_path / out), *ask])
        assert result.exit_code == 0, result.output
    graphs = {(tmp_path / out / "policy.onnx").read_bytes() for out in ("folder", "bucket", "default")}
    assert len(graphs) == 1
    judged = runner.invoke(app, ["rl", "evaluate", str(tmp_path / "bucket"), f"s3://{BUCKET}"])
    assert judged.exit_code == 3, judged.output
    assert "does not pass the champion's" in judged.output or "are needed" in judged.output
    assert runner.invoke(app, ["rl", "train", "s3://nobody", "--out", str(tmp_path / "none")]).exit_code == 1
