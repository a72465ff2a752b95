"""The embedded store against the S3 client the services use: what it keeps, whom it refuses."""

import io
import stat
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from minio import Minio
from minio.error import S3Error

from multimood.local.credentials import Credentials
from multimood.local.ports import assign
from multimood.local.server import wait_ready
from multimood.local.store import REGION, ObjectStore

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("orderly", [True, False], ids=["stopped", "killed"])
def test_objects_and_credentials_survive_a_restart_on_other_ports(tmp_path: Path, orderly: bool) -> None:
    log = tmp_path / "store.log"
    objects = {f"clip/{number}": bytes([number]) * 10_000 for number in range(40)}
    credentials = []
    for round_ in range(2):
        server = ObjectStore(tmp_path, log, assign(ObjectStore.PORTS), ("media",))
        server.start()
        try:
            wait_ready(server, log, 60)
            client = server.client()
            credentials.append(server.credentials)
            for name, content in objects.items():
                if round_ == 0:
                    client.put_object("media", name, io.BytesIO(content), len(content))
                else:
                    assert client.get_object("media", name).read() == content
            assert server.child is not None
            if not orderly:
                server.child.kill()
        finally:
            server.stop()
        assert not server.child.identity.alive()
    assert credentials[0] == credentials[1]


@pytest.mark.parametrize("wrong", ["secret", "key", "nothing"])
def test_wrong_credentials_are_refused(store: ObjectStore, wrong: str) -> None:
    keys = store.credentials
    access, secret = {
        "secret": (keys.access_key, "not-the-secret"),
        "key": ("not-the-key", keys.secret_key),
        "nothing": (None, None),
    }[wrong]
    stranger = Minio(store.endpoint, access_key=access, secret_key=secret, secure=False, region=REGION)
    with pytest.raises(S3Error) as refused:
        stranger.put_object("media", "stranger", io.BytesIO(b"x"), 1)
    assert refused.value.code in {"SignatureDoesNotMatch", "InvalidAccessKeyId", "AccessDenied"}
    with pytest.raises(S3Error):
        list(stranger.list_objects("media"))


def test_buckets_are_not_listed_without_a_signature(store: ObjectStore) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://{store.endpoint}/media")
    assert refused.value.code == 403


def test_secrets_are_for_the_owner_only(store: ObjectStore) -> None:
    for name in ("credentials.json", "identities.json"):
        assert stat.S_IMODE((store.folder / name).stat().st_mode) == 0o600
    assert store.credentials.secret_key not in repr(store.credentials)
    assert store.credentials.secret_key not in store.log.read_text()


def test_each_folder_has_credentials_of_its_own(tmp_path: Path) -> None:
    first, second = (Credentials.kept_in(tmp_path / name / "credentials.json") for name in ("a", "b"))
    assert first != second
    assert Credentials.kept_in(tmp_path / "a" / "credentials.json") == first
