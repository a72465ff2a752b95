"""Traffic from a platform while pods come and go, and what became of every utterance."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from benchmarks.chaos.traffic import Clips, Load, turns
from multimood.audit.reading import audit
from multimood.audit.summary import Summary
from multimood.client import Client, Tls
from tools.cluster import kubectl
from tools.cluster.deploy import NAMESPACE, Deployed, component, is_done, is_ready

RATE_PER_S = 1.0
CONFIRMED_S = 180.0
SETTLED_S = 400.0
"""Within this time the last utterance has its outcome, its score and its row; two cores and twelve pods are slow."""


def client_of(there: Deployed) -> Client:
    return Client(there.address, there.api_key, tls=Tls(Path(there.authority)))


@contextmanager
def traffic(there: Deployed, folder: Path, seed: int) -> Iterator[Load]:
    """Utterances in text, sound and film flow for as long as the block runs; then all that began are confirmed."""
    load = Load(lambda: client_of(there), RATE_PER_S)
    over = asyncio.Event()  # nobody waits for it, it is looked at: so this thread may set it
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(asyncio.run, load.run(turns(seed, Clips.made_in(folder)), over))
        try:
            yield load
        finally:
            over.set()
            running.result(timeout=CONFIRMED_S)


def outcome(there: Deployed, confirmed: list[str]) -> Summary:
    """Wait until every utterance has come to its end; give the checker's account of all of them."""
    deadline = time.monotonic() + SETTLED_S
    while True:
        told = asyncio.run(audit(there.kafka, there.store, confirmed=confirmed, grace_s=SETTLED_S))
        if (not told.as_json()["pending"] and not unfinished(told)) or time.monotonic() > deadline:
            return told
        time.sleep(3)


def unfinished(told: Summary) -> set[str]:
    """What is still missing beside an outcome, but for modalities that the joiner did not wait for."""
    return {reason for reason in told.reasons if not reason.startswith("partial: missing")}


def wait_replaced(service: str, old: set[str], within_s: float = 120.0) -> None:
    """Wait until the service has Ready pods again, none of them an old one."""
    deadline = time.monotonic() + within_s
    while True:
        found = kubectl.get("--namespace", NAMESPACE, "pods")["items"]
        ours = [pod for pod in found if component(pod) == service and not is_done(pod)]
        if ours and all(is_ready(pod) and pod["metadata"]["name"] not in old for pod in ours):
            return
        assert time.monotonic() < deadline, f"{service} was not replaced within {within_s:.0f} s"
        time.sleep(0.5)
