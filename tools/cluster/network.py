"""The pods' network: Calico's CNI plugin joins them to the node, its Felix enforces the NetworkPolicies."""

import json
from pathlib import Path
from typing import Final

from tools.cluster.places import PLUGINS, program, programs
from tools.cluster.sandbox import ADDRESS

NODE: Final = "node"
PODS: Final = "10.244.0.0/24"
SERVICES: Final = "10.96.0.0/16"
API: Final = "10.96.0.1"
CLUSTER_INFORMATION: Final = {
    "apiVersion": "crd.projectcalico.org/v1",
    "kind": "ClusterInformation",
    "metadata": {"name": "default"},
    "spec": {"datastoreReady": True, "clusterGUID": "0"},
}
"""Without it Calico believes that its store is still being filled."""
NODE_ANNOTATION: Final = f"projectcalico.org/IPv4Address={ADDRESS}/24"
FELIX: Final = {
    "FELIX_DATASTORETYPE": "kubernetes",
    "FELIX_FELIXHOSTNAME": NODE,
    "FELIX_DEFAULTENDPOINTTOHOSTACTION": "ACCEPT",  # pods may reach the API server, which runs on the node
    "FELIX_IPTABLESBACKEND": "NFT",
    "FELIX_IPV6SUPPORT": "false",
    "FELIX_BPFENABLED": "false",
    "FELIX_XDPENABLED": "false",
    "FELIX_BPFCONNECTTIMELOADBALANCING": "Disabled",
    "FELIX_USAGEREPORTINGENABLED": "false",
    "FELIX_LOGSEVERITYSCREEN": "warning",
    "FELIX_LOGSEVERITYSYS": "none",
    "FELIX_LOGFILEPATH": "none",
}


def configure(work: Path, kubeconfig: Path) -> None:
    """Lay out the plugins and the list of them that containerd calls for every pod."""
    plugins, lists = work / "plugins", work / "net"
    plugins.mkdir()
    lists.mkdir()
    for plugin in PLUGINS.iterdir():
        (plugins / plugin.name).symlink_to(plugin)
    (plugins / "calico").symlink_to(program("calico"))
    calico = {
        "type": "calico",
        "datastore_type": "kubernetes",
        "nodename": NODE,
        "nodename_file_optional": True,  # it would be written by calico/node, which does not run here
        "mtu": 1500,
        "ipam": {"type": "host-local", "dataDir": str(work / "addresses"), "ranges": [[{"subnet": PODS}]]},
        "policy": {"type": "k8s"},
        "kubernetes": {"kubeconfig": str(kubeconfig)},
        "log_file_path": str(work / "cni.log"),
    }
    ports = {"type": "portmap", "snat": True, "capabilities": {"portMappings": True}}
    conflist = {"cniVersion": "0.3.1", "name": "pods", "plugins": [calico, ports]}
    (lists / "10-pods.conflist").write_text(json.dumps(conflist))


def definitions() -> Path:
    """Give the folder of Calico's own custom resources."""
    return programs() / "calico-crds"
