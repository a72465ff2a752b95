"""The model repository and the audit in a real S3 store. (Triton reads one there, too; the embedded one cannot.)"""

import hashlib
import json
import secrets
from pathlib import Path

import pytest
from pydantic import SecretStr

from multimood.errors import ConfigurationError
from multimood.local.store import ObjectStore
from multimood.rollout.audit import PREFIX, Audit, BucketShelf
from multimood.rollout.errors import PromotionRefusedError
from multimood.rollout.repository import repository_at
from multimood.rollout.standing import Version
from multimood.rollout.steps import Rollout
from multimood.settings import StoreSettings
from multimood.store import Store

pytestmark = pytest.mark.integration


@pytest.fixture
def s3(store: ObjectStore) -> StoreSettings:
    return StoreSettings(
        endpoint=store.endpoint, secure=False, access_key=store.credentials.access_key,
        secret_key=SecretStr(store.credentials.secret_key), media_bucket="media", experience_bucket="experience",
    )  # fmt: skip


async def test_versions_are_added_whole_and_taken_away(s3: StoreSettings) -> None:
    place = f"s3://http://{s3.endpoint}/experience/models-{secrets.token_hex(4)}"
    async with repository_at(place, s3) as repository, repository_at(place, s3) as another:
        assert await repository.versions("policy") == {}
        await repository.write("policy", 1, {"model.onnx": b"one"}, "name: 1")
        await repository.write("policy", 12, {"model.onnx": b"twelve"}, "name: 2")
        found = {1: hashlib.sha256(b"one").digest(), 12: hashlib.sha256(b"twelve").digest()}
        assert await another.versions("policy") == found
        with pytest.raises(PromotionRefusedError, match="version 12 meanwhile"):
            await another.write("policy", 12, {"model.onnx": b"another"}, "")
        assert await another.versions("policy") == found
        assert await another.read("policy", 12) == b"twelve"
        with pytest.raises(PromotionRefusedError, match="version 2 is not in the repository"):
            await another.read("policy", 2)
        await repository.remove("policy", 1)
        assert set(await another.versions("policy")) == {12}, "version 1 is no prefix of 12"
        await repository.remove("policy", 12)
        assert await another.versions("policy") == {}
    store = Store(s3)
    try:
        assert not await store.list("experience", place.partition("/experience/")[2])
    finally:
        await store.close()


async def test_weights_go_up_in_parts_and_are_known_again(s3: StoreSettings, tmp_path: Path) -> None:
    weights = tmp_path / "model.gguf"
    weights.write_bytes(secrets.token_bytes(1 << 20) * 12)
    files = {"model.gguf": weights, "__pycache__": b"", "chat.py": b"chat", "model.py": b"program"}
    async with repository_at(f"s3://http://{s3.endpoint}/experience/models-{secrets.token_hex(4)}", s3) as repository:
        await repository.write("responder", 1, {"model.py": b"program"}, "name: 1")
        await repository.write("responder", 2, files, "name: 2")
        digest = hashlib.sha256(weights.read_bytes()).digest()
        assert await repository.versions("responder") == {1: b"", 2: digest}
        assert await repository.config("responder") == "name: 1", "the configuration stays"
        assert await repository.read("responder", 2, "chat.py") == b"chat"
        with pytest.raises(PromotionRefusedError, match="version 2 meanwhile"):
            await repository.write("responder", 2, files, "")
        with pytest.raises(PromotionRefusedError, match="policy is not in the repository"):
            await repository.config("policy")
        await repository.remove("responder", 2)
        assert await repository.versions("responder") == {1: b""}
        await repository.remove("responder", 1)
        assert await repository.versions("responder") == {}


async def test_a_bucket_that_is_not_there_is_named(s3: StoreSettings) -> None:
    with pytest.raises(ConfigurationError, match="there is no bucket nowhere"):
        async with repository_at("s3://nowhere/models", s3):
            pass


async def test_each_step_is_an_object_of_its_own(s3: StoreSettings) -> None:
    store, model = Store(s3), f"policy_{secrets.token_hex(4)}"
    try:
        audit = Audit(BucketShelf(store, "experience"))
        rollout = Rollout(model, Version("1", b"a" * 32), Version("2", b"b" * 32), "clinic")
        steps = [rollout.canary(0.1, 5, "stage 1"), rollout.rolled_back("worse")]
        for step in steps:
            await audit.record(step)
        found = await store.list("experience", f"{PREFIX}{model}/")
        told = [json.loads(await store.read("experience", one.key, limit=1 << 20)) for one in found]
    finally:
        await store.close()
    assert [(one["stage"], one["operator"], one["challenger"]["version"]) for one in told] == [
        ("canary", "clinic", "2"), ("rolled_back", "clinic", "2"),
    ]  # fmt: skip


async def test_what_cannot_be_recorded_now_is_recorded_with_the_next(s3: StoreSettings) -> None:
    store, model = Store(s3), f"policy_{secrets.token_hex(4)}"
    away = Store(s3.model_copy(update={"endpoint": "127.0.0.1:1"}))
    try:
        audit = Audit(BucketShelf(away, "experience"))
        rollout = Rollout(model, Version("1", b"a" * 32), Version("2", b"b" * 32), "clinic")
        assert "does not answer" in await audit.record_if_possible(rollout.canary(0.1, 5, "stage 1"))
        audit.shelf = BucketShelf(store, "experience")
        assert await audit.record_if_possible(rollout.rolled_back("worse")) == ""
        assert len(await store.list("experience", f"{PREFIX}{model}/")) == 2
    finally:
        await store.close()
        await away.close()
