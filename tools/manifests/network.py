"""Network policies: every pod has its allow-lists, and both ends of a connection agree on it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from tools.manifests.labels import matches, pods
from tools.manifests.render import Rendered

Side = Literal["ingress", "egress"]
PEERS: Final[Mapping[Side, str]] = {"ingress": "from", "egress": "to"}
Way = tuple[str, str, int]
"""From whom, to whom, at which port."""


def unlisted(rendered: Rendered) -> Iterator[str]:
    """Where there are policies, every pod has its own for both ways, and they name ports that its pods have."""
    everyone = [(name, labels, _ports(pod)) for name, pod, labels in pods(rendered)]
    policies = {name: one["spec"] for name, one in rendered.of("NetworkPolicy").items() if one["spec"]["podSelector"]}
    for name, labels, _ in everyone if policies else ():
        own = [one for one in policies.values() if matches(one["podSelector"], labels)]
        if missing := {"Ingress", "Egress"} - {side for one in own for side in one["policyTypes"]}:
            yield f"{name} has no allow-list for {sorted(missing)}"
    for name, one in policies.items():
        open_here = {port for _, labels, ports in everyone if matches(one["podSelector"], labels) for port in ports}
        let_in = {port["port"] for rule in one.get("ingress", ()) for port in rule.get("ports", ())}
        if open_here and not let_in <= open_here:
            yield f"NetworkPolicy {name} lets in to ports {sorted(let_in - open_here)}, which no pod of it has"


def disagreements(rendered: Rendered) -> Iterator[str]:
    """Connections between pods of this rendering that one end's allow-lists name and the other's do not."""
    policies = [one["spec"] for one in rendered.of("NetworkPolicy").values()]
    everyone = [(name, labels, _ports(pod)) for name, pod, labels in pods(rendered)]
    out, into = (set(_ways(policies, everyone, side)) for side in ("egress", "ingress"))
    yield from (f"{a} may go out to {b}, port {port}, and is not let in there" for a, b, port in sorted(out - into))
    yield from (f"{b} lets in {a} at port {port}, who may not go out to it" for a, b, port in sorted(into - out))


def _ways(
    policies: Sequence[Any], everyone: Sequence[tuple[str, Mapping[str, str], set[int]]], side: Side
) -> Iterator[Way]:
    """Ways that rules with selectors of pods allow; those for namespaces, addresses, everybody name no pod of ours."""
    for policy in policies:
        chosen = [one for one in everyone if matches(policy["podSelector"], one[1])]
        for rule in policy.get(side, ()):
            selectors = [peer["podSelector"] for peer in rule.get(PEERS[side], ()) if "podSelector" in peer]
            peers = [one for one in everyone if any(matches(selector, one[1]) for selector in selectors)]
            for name, _, open_here in chosen:
                for peer, _, open_there in peers:
                    server_ports = open_here if side == "ingress" else open_there
                    ports = {port["port"] for port in rule.get("ports", ())} & server_ports
                    yield from ((peer, name, port) if side == "ingress" else (name, peer, port) for port in ports)


def _ports(pod: Any) -> set[int]:
    return {port["containerPort"] for container in pod["containers"] for port in container.get("ports", ())}
