"""The system on a real Kubernetes. These run inside the cluster's namespaces: `make test-cluster` brings them there."""

import os

import pytest

from tools.cluster.deploy import Deployed, deploy
from tools.cluster.sandbox import CGROUP


@pytest.fixture(scope="session", autouse=True)
def cluster() -> None:
    """A cluster runs, and this runs inside of it."""
    assert CGROUP in os.environ, "no cluster here: run these by `make test-cluster`"


@pytest.fixture(scope="session")
def there(cluster: None) -> Deployed:
    """The whole system, every pod Ready."""
    system = deploy(print)
    os.environ.update(system.secrets)  # the checker finds rows by the pseudonyms of the reward service's key
    return system
