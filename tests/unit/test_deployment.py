"""Containerfile, k8s/ and skaffold.yaml say the same as the code: its services, settings, extras and drain times.

tests/unit/test_manifests.py holds them to the project's own rules, `make manifests` to the schemas of their kinds.
"""

import importlib
import importlib.util
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings
from typer.testing import CliRunner

from benchmarks.capacity import measured, turn
from multimood import __version__
from multimood.bus import WorkerSettings
from multimood.cli import app
from multimood.local.services import SERVICES
from multimood.sent_media import SentMedia
from multimood.settings import HealthSettings
from services.audio_encoder.settings import AudioEncoderSettings
from services.gateway.settings import GatewaySettings
from services.video_encoder.settings import VideoEncoderSettings
from tools.manifests.crisis import CRISIS
from tools.manifests.labels import pods
from tools.manifests.render import Rendered, kustomize

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "k8s" / "base"
NAMES = [service.name for service in SERVICES]
KUBECTL = str(Path(sys.executable).parent / "kubectl")
FOLDERS = ["base", "overlays/dev", "overlays/prod", "overlays/vllm"]
BROUGHT_UP = ["overlays/dev", "overlays/prod", "overlays/gpu", "overlays/vllm"]


def dashed(name: str) -> str:
    """A service's name where underscores may not be: in Kubernetes, image names and extras."""
    return name.replace("_", "-")


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


@cache
def rendered(folder: str) -> Rendered:
    return kustomize(ROOT / "k8s" / folder, KUBECTL)


def of_kind(folder: str, kind: str) -> dict[str, Any]:
    return rendered(folder).of(kind)


def deployments(folder: str) -> dict[str, Any]:
    """Those of the services, by the names of their folders in services/."""
    return {name: of_kind(folder, "Deployment")[f"multimood-{dashed(name)}"] for name in NAMES}


def settings_classes(base: type[BaseSettings] = BaseSettings) -> Iterator[type[BaseSettings]]:
    for one in base.__subclasses__():
        yield one
        yield from settings_classes(one)


def variables() -> set[str]:
    """Every environment variable that the library or a service reads."""
    for name in NAMES:
        if importlib.util.find_spec(f"services.{name}.settings"):
            importlib.import_module(f"services.{name}.settings")
    ours = [one for one in settings_classes() if one.__module__.partition(".")[0] in {"multimood", "services"}]
    return {one.model_config["env_prefix"] + field.upper() for one in ours for field in one.model_fields}


# --- the files as they stand -----------------------------------------------------------------------------------------


def test_the_base_has_every_service_and_nothing_else() -> None:
    assert sorted(read(BASE / "kustomization.yaml")["resources"]) == sorted(
        [*map(dashed, NAMES), "topics", "retention", "crisis.yaml"]
    )


@pytest.mark.parametrize("name", [dashed(name) for name in NAMES])
def test_a_service_is_the_common_one_by_its_own_name(name: str) -> None:
    own = read(BASE / name / "kustomization.yaml")
    assert own["resources"][0] == "../service"
    assert own["nameSuffix"] == f"-{name}"
    assert own["labels"] == [{"pairs": {"app.kubernetes.io/component": name}, "includeSelectors": True}]
    assert own["images"] == [{"name": "multimood/service", "newName": f"multimood/{name}"}]


def test_every_variable_is_a_setting_that_the_code_reads() -> None:
    named = {
        variable: path.relative_to(ROOT)
        for path in (ROOT / "k8s").rglob("*.yaml")
        for line in path.read_text().splitlines()
        for variable in re.findall(r"\bMULTIMOOD_[A-Z0-9_]+", line.partition("#")[0])
    }
    assert named
    known = variables()
    assert {variable: path for variable, path in named.items() if variable not in known} == {}


def test_no_secret_is_in_the_repository() -> None:
    for path in (ROOT / "k8s").rglob("*.yaml"):
        for document in yaml.safe_load_all(path.read_text()):
            if isinstance(document, dict):  # else a patch
                assert document.get("kind") != "Secret", path
                assert "secretGenerator" not in document, path


def test_skaffold_builds_and_tries_exactly_the_services_from_the_one_file() -> None:
    config = read(ROOT / "skaffold.yaml")
    assert sorted(config["build"]["artifacts"], key=str) == sorted(
        (
            {
                "image": f"multimood/{dashed(name)}",
                "docker": {"dockerfile": "Containerfile", "buildArgs": {"SERVICE": name}},
            }
            for name in NAMES
        ),
        key=str,
    )
    assert [one["image"] for one in config["test"]] == [one["image"] for one in config["build"]["artifacts"]]


def test_skaffold_gives_each_containerfile_what_it_takes() -> None:
    config = read(ROOT / "skaffold.yaml")
    assert config["build"]["local"]["useBuildkit"] is True, "without it `RUN --mount` is refused"
    patched = [one["value"] for profile in config["profiles"] for one in profile["patches"]]
    for artifact in (*config["build"]["artifacts"], *patched):
        told = artifact["docker"]
        text = (ROOT / told["dockerfile"]).read_text()
        stages = set(re.findall(r"^FROM .* AS (\S+)$", text, re.MULTILINE))
        given = {flag.split("=")[1] for flag in told.get("cliFlags", ()) if flag.startswith("--build-context=")}
        assert set(re.findall(r"^COPY --from=(\S+)", text, re.MULTILINE)) <= stages | given, artifact["image"]


def test_skaffold_deploys_folders_that_are_there() -> None:
    config = read(ROOT / "skaffold.yaml")
    assert {profile["name"] for profile in config["profiles"]} == {"dev", "prod", "gpu", "vllm"}
    for part in (config, *config["profiles"]):
        for path in part["manifests"]["kustomize"]["paths"]:
            assert (ROOT / path / "kustomization.yaml").is_file()


@pytest.mark.parametrize("folder", BROUGHT_UP)
def test_what_a_profile_deploys_is_what_it_builds(folder: str) -> None:
    config = read(ROOT / "skaffold.yaml")
    (profile,) = [one for one in config["profiles"] if one["name"] == folder.partition("/")[2]]
    built = {one["image"] for one in config["build"]["artifacts"]} | {
        one["value"]["image"] for one in profile["patches"]
    }
    ours = {
        container["image"].partition(":")[0]
        for _, pod, _ in pods(rendered(folder))
        for container in pod["containers"]
        if container["image"].startswith("multimood/")
    }
    assert ours == built


@pytest.mark.parametrize("name", NAMES)
def test_a_service_has_a_module_to_run_and_an_extra_to_install(name: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert dashed(name) in extras
    assert (ROOT / "services" / name / "__main__.py").is_file()


def test_the_build_context_has_what_the_containerfile_copies() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Containerfile").read_text(), re.MULTILINE)
    sources = {source for line in copied for source in line.split()}
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert sources == let_in
    assert all((ROOT / source).exists() for source in sources)


def test_the_containerfile_installs_by_the_installer_of_the_setup() -> None:
    pinned = re.compile(r"\buv(?:==|-)(\d[\d.]*\d)")
    (wanted,) = set(pinned.findall((ROOT / "tools" / "setup.sh").read_text()))
    assert set(pinned.findall((ROOT / "Containerfile").read_text())) == {wanted}


# --- what they come to -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("name", NAMES)
def test_a_service_is_deployed_restricted_probed_and_limited(folder: str, name: str) -> None:
    full = f"multimood-{dashed(name)}"
    deployment = deployments(folder)[name]
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == f"multimood/{dashed(name)}:{__version__}"
    assert_restricted(pod)
    assert pod["serviceAccountName"] == full
    assert of_kind(folder, "ServiceAccount")[full]["automountServiceAccountToken"] is False
    assert (
        deployment["spec"]["selector"]["matchLabels"].items()
        <= deployment["spec"]["template"]["metadata"]["labels"].items()
    )

    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    config = config_of(folder, pod)
    assert ports["health"] == int(config["MULTIMOOD_HEALTH_PORT"])
    assert HealthSettings(host=config["MULTIMOOD_HEALTH_HOST"], port=ports["health"]).host == "0.0.0.0"
    for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert container[probe]["httpGet"] == {"path": path, "port": "health"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_pod_may_take_longer_to_end_than_its_service_drains(folder: str) -> None:
    drains = max(WorkerSettings().drain_s, GatewaySettings.model_fields["grace_s"].default)
    for deployment in deployments(folder).values():
        assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= drains + 15


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_keys_of_the_store_are_where_its_client_is(folder: str) -> None:
    for name, deployment in deployments(folder).items():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        given = {
            variable["name"]
            for variable in container.get("env", ())
            if "secretKeyRef" in variable.get("valueFrom", {}) and variable["name"] != "MULTIMOOD_RESPONDER_OPENAI_KEY"
        }
        code = "".join(path.read_text() for path in (ROOT / "services" / name).glob("*.py"))
        if "SentMedia.SETTINGS" in code:
            code += " ".join(one.__name__ for one in SentMedia.SETTINGS)
        needed = {"MULTIMOOD_S3_ACCESS_KEY", "MULTIMOOD_S3_SECRET_KEY"} if "StoreSettings" in code else set()
        needed |= {"MULTIMOOD_PSEUDONYM_KEY"} if "PseudonymSettings" in code else set()
        needed |= {"MULTIMOOD_MASTER_KEY"} if "PrivacySettings" in code else set()
        assert given == needed, name


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("name", NAMES)
def test_a_service_can_read_the_values_it_is_given(folder: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pod = deployments(folder)[name]["spec"]["template"]["spec"]
    own = {
        variable["name"]: variable.get("value", "from a secret of the cluster")
        for variable in pod["containers"][0].get("env", ())
    }
    for variable, value in (config_of(folder, pod) | own).items():
        if not value.startswith("/etc/multimood/kafka"):  # the files are read at once
            monkeypatch.setenv(variable, "PLAINTEXT" if variable == "MULTIMOOD_KAFKA_SECURITY_PROTOCOL" else value)
    variables()
    for one in settings_classes():
        if one.__module__ in {"multimood.settings", f"services.{name}.settings"}:
            one()


@pytest.mark.parametrize(
    ("name", "concurrency"),
    [("audio-encoder", AudioEncoderSettings().concurrency), ("video-encoder", VideoEncoderSettings().concurrency)],
)
def test_all_decodings_at_once_fit_into_the_memory(name: str, concurrency: int) -> None:
    (container,) = of_kind("base", "Deployment")[f"multimood-{name}"]["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["memory"] == "2Gi"
    assert 200 + 300 * concurrency <= 2048


def test_a_service_requests_the_processor_that_its_work_takes() -> None:
    talking, every_s, pods_each, busy = 3_000, 30.0, 2, 0.5  # as said in docs/operations.md
    needed = turn(measured(), audio=0.3, video=0.1).services
    for name, deployment in deployments("base").items():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        requested = int(container["resources"]["requests"]["cpu"].removesuffix("m"))
        works = 1000 * needed[dashed(name)] * talking / every_s / busy / pods_each
        assert requested >= round(works), name
        if name in CRISIS:
            assert requested >= 3 * works, name
        else:
            assert requested <= max(50, 1.1 * works), name


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_door_leads_to_the_gateway(folder: str) -> None:
    service = of_kind(folder, "Service")["multimood-gateway"]
    template = deployments(folder)["gateway"]["spec"]["template"]
    (container,) = template["spec"]["containers"]
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    env = {variable["name"]: variable.get("value") for variable in container["env"]}
    (door,) = service["spec"]["ports"]
    assert env["MULTIMOOD_GATEWAY_LISTEN"] == f"0.0.0.0:{ports[door['targetPort']]}"


@pytest.mark.parametrize("folder", ["base", "overlays/dev"])
def test_the_topics_are_applied_by_a_restricted_job(folder: str) -> None:
    (job,) = of_kind(folder, "Job").values()
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"] == ["multimood", "topics", "apply"]
    assert container["image"] == f"multimood/gateway:{__version__}"
    assert_restricted(pod)
    assert config_of(folder, pod)["MULTIMOOD_KAFKA_BROKERS"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_retention_is_kept_by_a_restricted_job_of_every_day(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    job = of_kind(folder, "CronJob")["multimood-retention"]
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == f"multimood/gateway:{__version__}"
    assert_restricted(pod)
    given = config_of(folder, pod) | dict.fromkeys((one["name"] for one in container["env"]), "from a secret")
    assert {"MULTIMOOD_S3_ENDPOINT", "MULTIMOOD_S3_ACCESS_KEY", "MULTIMOOD_S3_SECRET_KEY"} <= given.keys()
    for variable, value in (given | {"MULTIMOOD_S3_ENDPOINT": "127.0.0.1:1"}).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(importlib.import_module("multimood.cli.erase"), "SWEEP_S", 0.2)
    assert container["command"][0] == "multimood"
    result = CliRunner().invoke(app, container["command"][1:])
    assert result.exit_code == 1, "the job is tried again"
    assert json.loads(result.stdout)["fault"]


def config_of(folder: str, pod: Any) -> dict[str, str]:
    (source,) = pod["containers"][0]["envFrom"]
    return dict(of_kind(folder, "ConfigMap")[source["configMapRef"]["name"]]["data"])


def assert_restricted(pod: Any) -> None:
    """What Pod Security calls restricted, a read-only root besides, and limits."""
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]
    for bound in ("requests", "limits"):
        assert container["resources"][bound].keys() == {"cpu", "memory"}
