"""The cluster's own code, as far as it goes without one; tests/cluster has the rest."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from multimood.local.services import SERVERS, SERVICES
from tools.cluster import deploy, pki, places
from tools.cluster.places import CHECKOUT, ClusterError
from tools.cluster.process import Processes

pytestmark = pytest.mark.unit


def test_a_certificate_is_signed_by_the_authority_for_its_hosts(tmp_path: Path) -> None:
    authority = pki.Authority.new(tmp_path)
    authority.issue("api", "kube-apiserver", hosts=("kubernetes.default.svc", "10.96.0.1"))
    issued = x509.load_pem_x509_certificate((tmp_path / "api.crt").read_bytes())
    key = authority.certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(issued.signature, issued.tbs_certificate_bytes, ec.ECDSA(SHA256()))
    names = issued.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["kubernetes.default.svc"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["10.96.0.1"]


def test_a_kubeconfig_says_who_one_is_and_nobody_else_reads_the_key(tmp_path: Path) -> None:
    path = pki.Authority.new(tmp_path).kubeconfig("kubelet", "system:node:node", "system:nodes", ("node",))
    (user,) = yaml.safe_load(path.read_text())["users"]
    subject = x509.load_pem_x509_certificate(Path(user["user"]["client-certificate"]).read_bytes()).subject
    assert subject.rfc4514_string() == "CN=system:node:node,O=system:nodes"
    assert Path(user["user"]["client-key"]).stat().st_mode & 0o077 == 0


def test_a_part_that_ends_while_it_is_waited_for_is_named_with_its_last_words(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    processes.start("felix", [sys.executable, "-c", "print('no such table'); raise SystemExit(3)"])
    begin = time.monotonic()
    with pytest.raises(ClusterError, match="felix ended with code 3:\nno such table"):
        processes.wait("policies", lambda: False, within_s=60)
    assert time.monotonic() - begin < 30


def test_what_never_comes_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="the node: not within 0 s"):
        Processes(tmp_path).wait("the node", lambda: False, within_s=0.1)


def test_an_absent_program_is_asked_for_by_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(places, "PLUGINS", tmp_path)
    monkeypatch.setitem(places.DEBIAN, "no-such-program", "its-package")
    assert {"its-package", "containernetworking-plugins"} <= set(places.lacking())


def test_whoever_is_not_root_is_told_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(places, "lacking", lambda: ["buildah", "runc"])
    with pytest.raises(ClusterError, match=r"as root, after `apt-get install .* buildah runc`"):
        places.install()


def test_overlay_images_and_tests_speak_of_the_same_services() -> None:
    names = {service.name.replace("_", "-") for service in SERVICES}
    assert set(deploy.SERVICES) == names
    assert set(deploy.SERVERS) == set(SERVERS)
    listed = subprocess.run(
        [CHECKOUT / "tools/cluster/images.sh", "--list"], check=True, capture_output=True, text=True
    ).stdout.split()
    assert set(listed) >= names | set(SERVERS)
    overlay = yaml.safe_load((deploy.OVERLAY / "kustomization.yaml").read_text())
    renamed = {image["newName"]: image["newTag"] for image in overlay["images"]}
    assert renamed == {f"localhost/multimood/{name}": "ci" for name in (*deploy.SERVICES, *deploy.SERVERS)}


def test_a_part_of_the_build_that_does_not_exist_is_refused() -> None:
    done = subprocess.run(
        [CHECKOUT / "tools/cluster/build.sh", "kubernets"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "no part 'kubernets'; there are kubernetes coredns" in done.stderr
