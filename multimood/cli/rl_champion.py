"""Whom a learned policy has to beat: `multimood rl evaluate --champion`."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from multimood.perception.fusion import Taxonomy

if TYPE_CHECKING:
    from multimood.ope import Policy

LOGGED: Final = "logged"
SERVED: Final = "served"


def champion_of(name: str, taxonomy: Taxonomy, data: Path) -> "tuple[Policy, str | None]":
    """The policy, and the SHA-256 of its graph as `gate.json` has it; None: the policy that wrote the log has none.

    Raises:
        MultimoodError: it is no policy, or `served` and the system does not tell, or its graph is gone.
        ModuleNotFoundError: learning's packages are not installed.
    """
    if name == LOGGED:
        from multimood.ope import Logged  # noqa: PLC0415 - numpy

        return Logged(), None
    if name == SERVED:
        return _served(taxonomy, data)
    from multimood.learning.policies import graph_at, open_policy  # noqa: PLC0415
    from multimood.learning.run import sha256_of  # noqa: PLC0415

    return open_policy(Path(name)), sha256_of(graph_at(Path(name)))


def _served(taxonomy: Taxonomy, data: Path) -> "tuple[Policy, str]":
    from multimood.cli.rollout_place import Where, policy_model_of, served  # noqa: PLC0415 - the bus
    from multimood.learning.network import Network  # noqa: PLC0415
    from multimood.learning.policies import OnState, read_policy  # noqa: PLC0415
    from multimood.perception.state import STATE  # noqa: PLC0415
    from multimood.rollout.comparison import OWN  # noqa: PLC0415

    model = policy_model_of(taxonomy)
    version, graph = asyncio.run(served(Where.of(data, "", "", ""), model))
    name = f"{model}:{version}"
    if not graph:
        return OnState.of(Network.passing(f"{STATE}:{taxonomy}"), name), OWN
    return replace(read_policy(graph, Path(model, version.version)), name=name), version.sha256.hex()
