"""The system on a real Kubernetes. These run inside the cluster's namespaces: `make test-cluster` brings them there."""

import os

import pytest

from tools.cluster.deploy import Deployed, deploy
from tools.cluster.sandbox import CGROUP


@pytest.fixture(scope="session")
def there() -> Deployed:
    """The whole system, every pod Ready."""
    assert CGROUP in os.environ, "no cluster here: run these by `make test-cluster`"
    system = deploy(print)
    os.environ.update(system.secrets)  # the checker finds rows by the pseudonyms of the reward service's key
    return system
