"""The CronJob that learns a policy from the log in the store, judges it beside the one that serves, and stops there."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from learning_logs import simulated, written
from minio import Minio

from multimood.experience.naming import EXPERIENCE
from multimood.local.places import checkout
from multimood.settings import StoreSettings
from tools.cluster import kubectl, runtime
from tools.cluster.deploy import NAMESPACE, Deployed
from tools.cluster.places import work

pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.timeout(900)]

IMAGE = "training"
BUCKET = "simulated"
"""What the system logged meanwhile is in another: a handful of turns teaches nobody."""


def cron_job() -> dict[str, Any]:
    """The component's own, with the image of here, that bucket, and nobody who provides volumes."""
    job: dict[str, Any] = yaml.safe_load((checkout() / "k8s/components/retraining/cronjob.yaml").read_text())
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    main = pod["containers"][0]
    main["image"] = runtime.image_of(IMAGE)
    # The settings' name has a hash of what is in it, which kustomize would write here as it did there.
    beside = kubectl.get("--namespace", NAMESPACE, "deployment/multimood-reward")["spec"]["template"]["spec"]
    main["envFrom"] = beside["containers"][0]["envFrom"]
    main["env"].append({"name": "MULTIMOOD_S3_EXPERIENCE_BUCKET", "value": BUCKET})
    main["resources"]["requests"] = {"cpu": "100m", "memory": "512Mi"}
    for volume in pod["volumes"]:
        if volume.pop("persistentVolumeClaim", None) is not None:
            volume["emptyDir"] = {"sizeLimit": "1Gi"}
    return job


def keep(s3: StoreSettings, file: Path) -> None:
    """Put a log of one file into a bucket of its own, where the reward service would have."""
    client = Minio(s3.endpoint, s3.access_key, s3.secret_key.get_secret_value(), secure=s3.secure)
    client.make_bucket(BUCKET)
    client.fput_object(BUCKET, f"{EXPERIENCE}date=2026-01-01/{file.name}", str(file))


def said() -> str:
    return kubectl.ask(
        "--namespace", NAMESPACE, "logs", "--selector=batch.kubernetes.io/job-name=retrain", "--tail=200"
    )


def test_a_policy_is_learned_and_judged_in_a_pod_and_nobody_is_served_by_it(there: Deployed, tmp_path: Path) -> None:
    runtime.take_images(work(), [IMAGE])
    keep(there.store, written(simulated(600), tmp_path / "log") / "rows.parquet")
    kubectl.ask("--namespace", NAMESPACE, "apply", "--filename", "-", given=cron_job())
    kubectl.ask("--namespace", NAMESPACE, "create", "job", "retrain", "--from=cronjob/multimood-retraining")
    deadline = time.monotonic() + 600
    while not (status := kubectl.get("--namespace", NAMESPACE, "job/retrain")["status"]).get("succeeded"):
        assert not status.get("failed"), said()
        assert time.monotonic() < deadline, said()
        time.sleep(2)
    assert "passed the gate: somebody has to let it pass" in said()
    (told,) = (json.loads(line) for line in said().splitlines() if line.startswith('{"run"'))
    assert told["policy"].startswith("bandit-")
    kubectl.ask("--namespace", NAMESPACE, "delete", "cronjob/multimood-retraining", "job/retrain")
