"""`multimood keys rewrap` on a real S3 store: killed half-way and run again, all keys open under the new one alone."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

import pytest
from pydantic import SecretStr

from multimood.errors import ConfigurationError
from multimood.local.store import ObjectStore
from multimood.privacy import Keyring, MasterKeys
from multimood.privacy.keyring import destroy
from multimood.privacy.keys import ErasedError
from multimood.privacy.pseudonyms import Subject
from multimood.settings import StoreSettings
from multimood.store import Store

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

OLD, NEW = "the former master key", "the new master key of today"
PERSONS = [Subject("acme", f"{number:032x}") for number in range(400)]
"""In the order in which a store lists them."""
ERASED = PERSONS[7]
COMMAND = (sys.executable, "-c", "from multimood.cli import app; app()", "keys", "rewrap")


@pytest.fixture
def s3(store: ObjectStore) -> StoreSettings:
    return StoreSettings(
        endpoint=store.endpoint, secure=False, access_key=store.credentials.access_key,
        secret_key=SecretStr(store.credentials.secret_key), keys_bucket="keys-rewrap",
    )  # fmt: skip


def environment(s3: StoreSettings) -> dict[str, str]:
    return os.environ | {
        "MULTIMOOD_S3_ENDPOINT": s3.endpoint, "MULTIMOOD_S3_SECURE": "false",
        "MULTIMOOD_S3_KEYS_BUCKET": s3.keys_bucket,
        "MULTIMOOD_S3_ACCESS_KEY": s3.access_key, "MULTIMOOD_S3_SECRET_KEY": s3.secret_key.get_secret_value(),
        "MULTIMOOD_MASTER_KEY": NEW, "MULTIMOOD_MASTER_KEYS_FORMER": OLD,
    }  # fmt: skip


async def secrets_of(s3: StoreSettings, master: MasterKeys, persons: Sequence[Subject]) -> list[bytes]:
    """Of each person the key, made where there is none."""
    store = Store(s3)
    keyring = Keyring(store, s3.keys_bucket, master)
    try:
        return [(await keyring.key_for(person, time.time_ns() // 1000)).secret for person in persons]
    finally:
        await store.close()


def opens(s3: StoreSettings, master: MasterKeys, person: Subject) -> bool:
    try:
        asyncio.run(secrets_of(s3, master, [person]))
    except ConfigurationError:
        return False
    return True


async def erased(s3: StoreSettings) -> None:
    store = Store(s3)
    await destroy(store, s3.keys_bucket, ERASED, time.time_ns() // 1000)
    await store.close()


async def is_erased(s3: StoreSettings) -> bool:
    store = Store(s3)
    try:
        await Keyring(store, s3.keys_bucket, MasterKeys(NEW)).key_for(ERASED, 1)
    except ErasedError:
        return True
    finally:
        await store.close()
    return False


def test_killed_half_way_it_is_taken_up_again(s3: StoreSettings) -> None:
    before = asyncio.run(secrets_of(s3, MasterKeys(OLD), PERSONS))
    asyncio.run(erased(s3))
    new = MasterKeys(NEW)
    first = subprocess.Popen(COMMAND, env=environment(s3), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not opens(s3, new, PERSONS[20]):
        assert first.poll() is None, "it ended before it was killed"
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert not opens(s3, new, PERSONS[-1]), "it was killed too late to be half-way: more keys are needed"
    both = MasterKeys(NEW, OLD)
    others = [place for place, person in enumerate(PERSONS) if person != ERASED]
    half = asyncio.run(secrets_of(s3, both, [PERSONS[place] for place in others]))
    assert half == [before[place] for place in others], "services that know both keys go on in the meantime"

    again = subprocess.run(COMMAND, env=environment(s3), capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    done, earlier = int(again.stdout.split()[0]), int(again.stdout.split(", ")[1].split()[0])
    assert done + earlier >= len(PERSONS)
    assert done > 0
    assert earlier > 20
    assert asyncio.run(secrets_of(s3, new, [PERSONS[place] for place in others])) == half
    assert not opens(s3, MasterKeys(OLD), PERSONS[0]), "the former one is worth nothing any more"
    assert asyncio.run(is_erased(s3)), "who was erased stays so"
    last = subprocess.run(COMMAND, env=environment(s3), capture_output=True, text=True, check=False)
    assert last.stdout.startswith("0 keys")
