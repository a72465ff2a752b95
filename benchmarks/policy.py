"""What asking the policy model costs a decision: `python -m benchmarks.policy [--quick] [--json FILE]`.

The strategist by itself on a broker and a Triton of their own, once without a policy model (the fusion model's own
distribution is drawn from) and once with the one that is shipped; by turns, so that what else the machine does hits
both. A driver publishes utterances' features evenly; counted is the strategist's own time for each: fusion, policy,
draw. Broker and Triton stay up.
"""

import asyncio
import sys
from dataclasses import asdict
from typing import Any, Final

import numpy as np
from rich.table import Table

from benchmarks import harness, topics
from benchmarks.hops import LOW_PER_S, PARTITIONS, READY, Driver, Job, Quantiles
from multimood import topics as known
from multimood.contracts.v1 import events_pb2 as pb
from multimood.local.parts import TRITON_PORTS
from multimood.local.ports import assign
from multimood.local.server import start_and_wait
from multimood.local.triton import TritonServer
from multimood.perception.strategy import MODEL

KINDS: Final = {"the fusion model alone": "", "with the policy model": MODEL["mesc"]}
ASKED: Final = frozenset({"fusion", "text_encoder", MODEL["mesc"]})
TEXT: Final = "Not much to say today, it was a day."


def _features(context: pb.Context) -> tuple[known.Topic, pb.Features]:
    vector = np.full(384, 384**-0.5, np.float32).tobytes()
    text = pb.Embedding(
        context=context, modality=pb.MODALITY_TEXT, vector=vector, shape=[384], model_name="m", model_version="1"
    )
    screening = pb.Screening(context=context, level=pb.RISK_LEVEL_NONE, version="1")
    hops = [pb.Hop(service="joiner")]
    made = pb.Features(
        context=context, manifest=[pb.MODALITY_TEXT], text=TEXT, has_language=True, embeddings=[text],
        screening=screening, hops=hops,
    )  # fmt: skip
    return known.FEATURES, made


STRATEGIST: Final = Job("strategist", known.DECISION, lambda _context: (), _features)


async def driven(brokers: str, warm: int, count: int) -> list[float]:
    """Milliseconds of the service's own time, of each event."""
    async with Driver(brokers, STRATEGIST) as driver:
        await driver.drive(warm, 2 * LOW_PER_S)
        await driver.drive(count, LOW_PER_S)
        return [sample.own for sample in driver.samples]


def measured(rounds: int, warm: int, count: int) -> dict[str, list[list[float]]]:
    """By kind and round."""
    found: dict[str, list[list[float]]] = {kind: [] for kind in KINDS}
    with harness.broker() as (brokers, folder):
        topics.apply(brokers, PARTITIONS)
        log = folder / "triton.log"
        triton = TritonServer(log=log, ports=assign(TRITON_PORTS), only=ASKED)
        try:
            start_and_wait(triton, log, harness.START_S)
            for number in range(rounds):
                for kind, model in KINDS.items():
                    said = folder / f"strategist-{number}-{model}.log"
                    env = {
                        "MULTIMOOD_KAFKA_BROKERS": brokers,
                        "MULTIMOOD_TRITON_URL": triton.url,
                        "MULTIMOOD_STRATEGIST_POLICY_MODEL": model,
                    }
                    with harness.process([sys.executable, "-m", f"services.{STRATEGIST.service}"], said, env) as child:
                        harness.wait_said(child, said, READY)
                        found[kind].append(asyncio.run(driven(brokers, warm, count)))
        finally:
            triton.stop()
    return found


def main() -> None:
    """Measure, print, write."""
    chosen = harness.arguments(__doc__).parse_args()
    console = harness.console()
    sizes = (2, 40, 60) if chosen.quick else (5, 100, 240)
    with console.status("strategist"):
        found = measured(*sizes)
    shown = Table("own time of a decision, ms", "n", "p50 / p99 / p99.9", "p50 by round")
    figures: dict[str, Any] = {}
    medians = {kind: [float(np.median(one)) for one in rounds] for kind, rounds in found.items()}
    for kind, rounds in found.items():
        whole = Quantiles.of([value for one in rounds for value in one])
        shown.add_row(kind, str(whole.n), str(whole), harness.spread(medians[kind]))
        figures[kind] = {**asdict(whole), "p50_by_round": medians[kind]}
    alone, asked = medians.values()
    added = [more - less for less, more in zip(alone, asked, strict=True)]
    shown.caption = f"added by round: {harness.spread(added)} ms"
    harness.report(console, shown, [], {"policy": {**figures, "added_by_round": added}}, chosen.json)


if __name__ == "__main__":
    main()
