"""Control plane and node, inside the namespaces of `sandbox`: started in order, ready when DNS answers in a pod."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tools.cluster import kubectl, network, pki, runtime
from tools.cluster.network import API, NODE, PODS, SERVICES
from tools.cluster.places import CHECKOUT, program
from tools.cluster.process import Processes
from tools.cluster.sandbox import ADDRESS, CGROUP, DNS

ETCD: Final = "http://127.0.0.1:2379"
MANIFESTS: Final = CHECKOUT / "tools/cluster/manifests"
Say = Callable[[str], None]


def start(work: Path, say: Say) -> Processes:
    """Start everything and wait for it.

    Raises:
        ClusterError: a part is missing, ended or took too long.
    """
    processes = Processes(work)
    _authorities(work)
    network.configure(work, work / "admin.kubeconfig")
    _api_server(work, processes)
    processes.start("containerd", runtime.configure(work))
    processes.wait("containerd", lambda: runtime.is_up(work))
    runtime.forget_containers(work)
    say("containerd is up")
    processes.wait("the API server", lambda: kubectl.works("get", "--raw", "/readyz"))
    _controllers(work, processes)
    say("the API server is ready")
    runtime.take_images(work, ["pause", "coredns"])
    _node(work, processes)
    processes.wait("the node's registration", lambda: kubectl.works("get", "node", NODE))
    _calico(processes)
    kubectl.ask("apply", "--filename", str(MANIFESTS / "coredns.yaml"))
    processes.wait("the node", lambda: _is_ready(NODE))
    kubectl.ask("--namespace", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s", within_s=130)
    say(f"node {NODE} is Ready")
    return processes


def clear(work: Path) -> None:
    """Make the folder anew."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True, mode=0o700)


def _authorities(work: Path) -> None:
    authority = pki.Authority.new(work)
    authority.issue(
        "api",
        "kube-apiserver",
        hosts=("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost", "127.0.0.1", ADDRESS, API),
    )
    authority.issue("aggregator", "aggregator")
    for file, name, group, hosts in (
        ("admin", "admin", "system:masters", ()),
        ("controllers", "system:kube-controller-manager", "", ()),
        ("scheduler", "system:kube-scheduler", "", ()),
        ("proxy", "system:kube-proxy", "", ()),
        ("kubelet", f"system:node:{NODE}", "system:nodes", (NODE, ADDRESS)),
    ):
        authority.kubeconfig(file, name, group, hosts)
    pki.write_key_pair(work, "accounts")


def _api_server(work: Path, processes: Processes) -> None:
    processes.start("etcd", [
        program("etcd"), "--data-dir", str(work / "etcd"), "--unsafe-no-fsync",
        "--listen-client-urls", ETCD, "--advertise-client-urls", ETCD,
        "--listen-peer-urls", "http://127.0.0.1:2380", "--initial-advertise-peer-urls", "http://127.0.0.1:2380",
        "--initial-cluster", "default=http://127.0.0.1:2380",
    ])  # fmt: skip
    processes.start("kube-apiserver", [
        program("kube-apiserver"), f"--etcd-servers={ETCD}", f"--advertise-address={ADDRESS}", "--secure-port=6443",
        f"--tls-cert-file={work}/api.crt", f"--tls-private-key-file={work}/api.key", f"--client-ca-file={work}/ca.crt",
        f"--kubelet-client-certificate={work}/admin.crt", f"--kubelet-client-key={work}/admin.key",
        f"--kubelet-certificate-authority={work}/ca.crt", "--kubelet-preferred-address-types=InternalIP",
        f"--service-cluster-ip-range={SERVICES}", "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={work}/accounts.pub", f"--service-account-signing-key-file={work}/accounts.key",
        "--authorization-mode=Node,RBAC", "--allow-privileged=true",
        # For API servers that run as pods: metrics-server and KEDA's.
        f"--requestheader-client-ca-file={work}/ca.crt", "--requestheader-allowed-names=aggregator",
        "--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-", "--enable-aggregator-routing=true",
        f"--proxy-client-cert-file={work}/aggregator.crt", f"--proxy-client-key-file={work}/aggregator.key",
    ])  # fmt: skip


def _controllers(work: Path, processes: Processes) -> None:
    for name, file in (("kube-controller-manager", "controllers"), ("kube-scheduler", "scheduler")):
        processes.start(name, [
            program(name), "--leader-elect=false", "--bind-address=127.0.0.1",
            *(f"--{flag}kubeconfig={work}/{file}.kubeconfig" for flag in ("", "authentication-", "authorization-")),
            *([] if file == "scheduler" else [
                f"--service-account-private-key-file={work}/accounts.key", f"--root-ca-file={work}/ca.crt",
                f"--cluster-signing-cert-file={work}/ca.crt", f"--cluster-signing-key-file={work}/ca.key",
                "--use-service-account-credentials=true", "--horizontal-pod-autoscaler-sync-period=5s",
            ]),
        ])  # fmt: skip


def _node(work: Path, processes: Processes) -> None:
    settings = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{work}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{work}/kubelet.crt",
        "tlsPrivateKeyFile": f"{work}/kubelet.key",
        "containerRuntimeEndpoint": f"unix://{runtime.socket(work)}",
        "clusterDNS": [DNS],
        "clusterDomain": "cluster.local",
        "resolvConf": f"{work}/resolv.conf",
        # Cgroups are made by hand here: no systemd, and v1 where the machine has v1.
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{os.environ[CGROUP]}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "oomScoreAdj": 0,
        # The node must not evict anybody because the machine's other work fills disk or memory.
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
    }
    (work / "kubelet.yaml").write_text(json.dumps(settings, indent=1))
    processes.start("kubelet", [
        program("kubelet"), f"--config={work}/kubelet.yaml", f"--kubeconfig={work}/kubelet.kubeconfig",
        f"--hostname-override={NODE}", f"--node-ip={ADDRESS}", f"--root-dir={work}/kubelet", f"--cert-dir={work}",
    ])  # fmt: skip
    kubectl.ask(
        "create", "clusterrolebinding", "kube-proxy", "--clusterrole=system:node-proxier", "--user=system:kube-proxy"
    )
    processes.start("kube-proxy", [
        program("kube-proxy"), f"--kubeconfig={work}/proxy.kubeconfig", "--proxy-mode=iptables",
        f"--cluster-cidr={PODS}", f"--hostname-override={NODE}", "--bind-address=127.0.0.1",
        # These would change limits of the machine's kernel.
        "--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0",
    ])  # fmt: skip


def _calico(processes: Processes) -> None:
    kubectl.ask("create", "--filename", str(network.definitions()))
    kubectl.ask("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s", within_s=70)
    kubectl.ask("create", "--filename", "-", given=network.CLUSTER_INFORMATION)
    kubectl.ask("annotate", "node", NODE, network.NODE_ANNOTATION)
    kubeconfig = {"KUBECONFIG": kubectl.environment()["KUBECONFIG"]}
    processes.start("felix", [program("felix")], network.FELIX | kubeconfig)


def _is_ready(name: str) -> bool:
    conditions = kubectl.get("node", name)["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
