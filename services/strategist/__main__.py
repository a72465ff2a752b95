import hashlib

from multimood.bus import Worker, WorkerSettings, run_worker
from multimood.errors import ConfigurationError
from multimood.inference import InferenceClient
from multimood.settings import TritonSettings
from services.strategist.agent import INPUTS, SERVICE, Strategist, processor
from services.strategist.decision import Policy
from services.strategist.settings import StrategistSettings


def policy_of(own: StrategistSettings) -> Policy:
    """The policy by settings. Raises ConfigurationError when nobody knows which model decides."""
    digest = own.model_sha256
    if not digest:
        try:
            digest = hashlib.sha256(own.model_file.read_bytes()).hexdigest()
        except OSError:
            raise ConfigurationError(
                f"MULTIMOOD_STRATEGIST_MODEL_FILE={own.model_file} cannot be read: give the served fusion model's "
                "graph, or its hash as MULTIMOOD_STRATEGIST_MODEL_SHA256"
            ) from None
    return Policy(own.taxonomy, own.epsilon, own.model, digest)


def make(settings: WorkerSettings) -> Worker:
    """Wire the service."""
    own = StrategistSettings()
    client = InferenceClient(TritonSettings())
    strategist = Strategist(client, policy_of(own), own)
    return Worker(
        SERVICE,
        INPUTS,
        lambda bus: processor(bus, strategist, own),
        settings=settings,
        checks={"triton": client.ready},
        on_stop=(client.close,),
    )


if __name__ == "__main__":
    run_worker(SERVICE, "Perceives, and chooses how to answer.", make, (StrategistSettings, TritonSettings))
