import sys

from multimood.bus import Worker, WorkerSettings, run_worker
from multimood.safety import CrisisPolicy, PersonJudge, Screener, VettedReplies
from services.sentinel.agent import INPUTS, SERVICE, processor
from services.sentinel.answer import Approved
from services.sentinel.settings import SentinelSettings

SWITCH_S = 0.001
"""A long text on the side thread gives the interpreter back so often; the default of 5 ms would add up to tens."""


def make(settings: WorkerSettings) -> Worker:
    """Wire the service."""
    sys.setswitchinterval(SWITCH_S)
    own = SentinelSettings()
    screener = Screener.load(own.rules, own.weights)
    approved = Approved(VettedReplies.load(own.replies), CrisisPolicy.load(own.crisis_policy))
    judge = PersonJudge.load(own.person) if approved.policy.low.person is not None else None
    return Worker(SERVICE, INPUTS, lambda bus: processor(bus, screener, approved, own, judge), settings=settings)


if __name__ == "__main__":
    run_worker(SERVICE, "Screens what people say for crises, and answers them.", make, (SentinelSettings,))
