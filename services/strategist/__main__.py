import hashlib

from multimood import topics
from multimood.bus import Worker, WorkerSettings, run_worker
from multimood.inference import Contracts, InferenceClient
from multimood.media.text import TextTokenizer
from multimood.models import recorded
from multimood.perception.fusion_contract import fusion_contract
from multimood.perception.strategy import MODEL, policy_contract
from multimood.perception.text import TextModelSettings, text_contract
from multimood.perception.widths import WidthSettings
from multimood.rollout.shipped import shipped
from multimood.rollout.standing import NONE
from multimood.safety import CrisisPolicy
from multimood.settings import TritonSettings
from services.strategist.agent import INPUTS, SERVICE, Strategist, processor
from services.strategist.decision import Policy
from services.strategist.exploration import Exploration
from services.strategist.served import ServedPolicy
from services.strategist.settings import StrategistSettings
from services.strategist.words import Words

FUSION = "triton_models/fusion/1/model.onnx"


def policy_of(own: StrategistSettings) -> Policy:
    """The policy by settings."""
    digest = own.model_sha256
    if not digest and own.model_file.is_file():
        digest = hashlib.sha256(own.model_file.read_bytes()).hexdigest()
    if not digest:
        digest = recorded("fusion").files[FUSION]
    amounts = {"epsilon": own.epsilon, "temperature": own.temperature, "none": 0.0}
    exploration = Exploration(own.exploration, amounts[own.exploration])
    return Policy(own.taxonomy, exploration, own.model, digest, chooser_of(own))


def chooser_of(own: StrategistSettings) -> str:
    """The policy model by settings; empty: none."""
    return MODEL[own.taxonomy] if own.policy_model is None else own.policy_model


def served_of(own: StrategistSettings, client: InferenceClient) -> ServedPolicy:
    """The policy model. Until something was promoted its champion is the shipped version, where there is one."""
    model = chooser_of(own)
    champion = shipped(model) if own.taxonomy == "mesc" else NONE
    return ServedPolicy(client, model, own.taxonomy, champion, deadline_s=own.policy_s)


def make(settings: WorkerSettings) -> Worker:
    """Wire the service."""
    own, text, widths = StrategistSettings(), TextModelSettings(), WidthSettings()
    client = InferenceClient(TritonSettings())
    words = Words(client, TextTokenizer(text.tokenizer), text.model, own.recall_s)
    crisis = CrisisPolicy.load(own.crisis_policy)
    served = served_of(own, client)
    strategist = Strategist(client, words, policy_of(own), own, widths.by_modality, crisis=crisis, served=served)
    contracts = [fusion_contract(own, widths), text_contract(text, widths)]
    if own.policy_model:
        contracts.append(policy_contract(own.policy_model, own.taxonomy))
    return Worker(
        SERVICE,
        INPUTS,
        lambda bus: processor(bus, strategist, own),
        settings=settings,
        follows={topics.ROLLOUT: served.learn},
        fits=Contracts(client, *contracts).fit,
        checks={"triton": client.ready},
        on_stop=(client.close,),
    )


if __name__ == "__main__":
    run_worker(
        SERVICE,
        "Perceives, and chooses how to answer.",
        make,
        (StrategistSettings, TextModelSettings, WidthSettings, TritonSettings),
    )
