from typing import cast

from multimood.bus import Joining, Worker, WorkerSettings, run_worker
from services.joiner.agent import INPUTS, processor
from services.joiner.features import SERVICE
from services.joiner.settings import JoinerSettings


def make(settings: WorkerSettings) -> Worker:
    """Wire the service."""
    own = JoinerSettings()
    worker = Worker(
        SERVICE,
        INPUTS,
        lambda bus: processor(bus, own),
        settings=settings,
        holds=lambda: cast("Joining", worker.processor).held,
    )
    return worker


if __name__ == "__main__":
    run_worker(SERVICE, "Joins what was found of an utterance into one record.", make, (JoinerSettings,))
