"""Triton's liveness probe, laid out as its pod lays it out, with an interpreter that has no package."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_triton_server import running, stubs

from multimood.local.places import checkout
from multimood.local.triton import TritonServer
from multimood.local.triton_http import TritonHttp

pytestmark = pytest.mark.integration

COMPONENT = checkout() / "k8s" / "components" / "triton"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    yield from running(tmp_path_factory.mktemp("canary"))


@pytest.fixture(scope="module")
def pod() -> dict[str, Any]:
    documents = list(yaml.safe_load_all((COMPONENT / "triton.yaml").read_text()))
    (deployment,) = [one for one in documents if one["kind"] == "Deployment"]
    spec: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return spec


def asked(pod: dict[str, Any], url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the probe's command on the volume's files."""
    (volume,) = [one for one in pod["volumes"] if one["name"] == "canary"]
    for item in volume["configMap"]["items"]:
        target = folder / item["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(COMPONENT / item["key"], target)
    (container,) = pod["containers"]
    (mount,) = [one["mountPath"] for one in container["volumeMounts"] if one["name"] == "canary"]
    env, path, python, *module = container["livenessProbe"]["exec"]["command"]
    assert (env, path, python) == ("env", f"PYTHONPATH={mount}", "python3")
    bare = [getattr(sys, "_base_executable", sys.executable), "-S"]
    argv = ["env", "-i", f"PYTHONPATH={folder}", *bare, *module, url]
    limit_s = container["livenessProbe"]["timeoutSeconds"]
    return subprocess.run(argv, capture_output=True, text=True, timeout=limit_s, cwd=folder, check=False)


def url_of(server: TritonServer) -> str:
    return f"http://127.0.0.1:{server.ports['triton.http']}"


def test_models_that_answer_are_alive(server: TritonServer, pod: dict[str, Any], tmp_path: Path) -> None:
    told = asked(pod, url_of(server), tmp_path)
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL], ids=["hung", "dead"])
def test_a_model_that_does_not_is_named(
    server: TritonServer, pod: dict[str, Any], tmp_path: Path, number: signal.Signals
) -> None:
    stub = stubs(server)["video_encoder"]
    assert stub.send(number)
    try:
        told = asked(pod, url_of(server), tmp_path)
        assert (told.returncode, told.stdout) == (1, "no answer from video_encoder\n")
        assert server.ready(), "the server calls itself ready all the same"
    finally:
        TritonHttp(url_of(server)).reload("video_encoder")
        # One that hangs may outlive its successor's start, and the next test would take it for that one.
        stub.send(signal.SIGKILL)
        while stub in stubs(server).values():
            time.sleep(0.05)


def test_nobody_there_is_no_life(pod: dict[str, Any], tmp_path: Path) -> None:
    told = asked(pod, "http://127.0.0.1:9", tmp_path)
    assert told.returncode == 1
    assert "does not answer" in told.stdout
