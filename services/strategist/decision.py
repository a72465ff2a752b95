"""The decision on one utterance: from what was joined, perceived and remembered to the record. Pure."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from multimood import topics
from multimood.bus.envelope import event_id, utterance_name
from multimood.contracts.v1 import events_pb2 as pb
from multimood.eligibility import ADVICE, NO_INSTRUCTION, RULES
from multimood.perception.conversation import dialogue_with, packed, shortened
from multimood.perception.fusion import Perception, Sight, Taxonomy
from multimood.perception.state import STRATEGIES, State, state_of
from multimood.rollout.standing import NONE, Version
from multimood.safety import CrisisPolicy
from multimood.safety.evidence import grounds
from multimood.safety.handover import raised
from multimood.safety.persons import risk_of_words
from multimood.safety.risk import is_crisis, verdict_of
from services.strategist.exploration import Exploration
from services.strategist.policy import choose
from services.strategist.served import Drawn

UNKNOWN: Final = "-"
"""Stands for the served model's version where the model did not answer."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything but the model's answer that decides what is chosen."""

    taxonomy: Taxonomy
    exploration: Exploration
    model: str
    model_sha256: str

    chooser: str = ""
    """The policy model's name; its versions are those of the rollout."""

    def version(self, model_version: str, served: Version = NONE) -> str:
        """Name of the behaviour policy: two decisions with the same name were drawn by the same rule.

        `served`: the version of the policy model that gave the distribution; none: the fusion model itself.
        """
        graph = f"{self.model}:{model_version}@{self.model_sha256[:12]}"
        chooser = f"{self.chooser}:{served};" if served.version else ""
        return f"{self.taxonomy};{graph};{chooser}{self.exploration.name};{RULES}"

    def sha256(self, served: Version = NONE) -> bytes:
        """Hash (32 bytes) of everything that makes the policy: graphs, taxonomy, exploration, rules."""
        parts = {
            "taxonomy": self.taxonomy,
            "strategies": STRATEGIES[self.taxonomy],
            "model_sha256": self.model_sha256,
            "exploration": self.exploration.name,
            "rules": RULES,
            "never": sorted(NO_INSTRUCTION),
            "not_first": sorted(ADVICE),
        }
        if served.version:
            parts["policy_sha256"] = served.sha256.hex()
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()

    def exploration_at(self, level: pb.RiskLevel) -> Exploration:
        """What is explored at this risk: nothing as soon as there is any (docs/decisions/008), or no verdict."""
        return self.exploration if level == pb.RISK_LEVEL_NONE else Exploration()


@dataclass(frozen=True, slots=True)
class Kept:
    """How much of a dialogue is kept: turns, and characters of each."""

    turns: int
    chars: int


def override_of(features: pb.Features, sight: Sight) -> pb.Override:
    """Why the reply will be a vetted one, as far as the utterance itself says so.

    Without the sentinel's verdict nothing may be generated, whether or not words were expected; a crisis outranks all.
    While an escalation of the conversation is open, nothing is generated either.
    """
    level = features.screening.level
    if is_crisis(level):
        return pb.OVERRIDE_CRISIS
    if not features.HasField("screening") or verdict_of(features.screening) is None:
        return pb.OVERRIDE_UNSCREENED
    if not sight.vectors and not features.text.strip():
        return pb.OVERRIDE_NO_INPUT
    return pb.OVERRIDE_ESCALATED if features.screening.held else pb.OVERRIDE_NONE


def escalation_of(
    features: pb.Features, perception: Perception, policy: CrisisPolicy, now_us: int
) -> pb.Escalation | None:
    """The escalation of words whose low risk voice or face make a crisis of; None when they do not."""
    found = grounds(risk_of_words(features.screening), perception.by_modality, perception.intensity, policy.evidence)
    if not found:
        return None
    context, screening = features.context, features.screening
    return raised(
        context, level=pb.RISK_LEVEL_ELEVATED, rules=[*screening.rules, *found], version=screening.version,
        identity=event_id(utterance_name(context), topics.ESCALATION), policy=policy, now_us=now_us,
    )  # fmt: skip


def decide(
    features: pb.Features,
    sight: Sight,
    perception: Perception | None,
    state: pb.Conversation | None,
    *,
    override: pb.Override,
    policy: Policy,
    kept: Kept,
    drawn: Drawn | None = None,
) -> pb.Decision:
    """Write the decision. Without an override there must be a perception.

    `drawn`: the distribution to draw from; without it that is the fusion model's own.

    An overridden decision has no choice and no propensity: a vetted reply is no action of the policy. What was
    perceived, and what the policy would have drawn from, is logged all the same.
    """
    context = features.context
    step = 0 if state is None else state.steps
    served = NONE if drawn is None else drawn.served
    version = policy.version(UNKNOWN if perception is None else perception.model_version, served)
    decision = pb.Decision(
        context=context,
        step=step,
        policy_version=version,
        policy_sha256=policy.sha256(served),
        override=override,
        manifest=features.manifest,
        missing=features.missing,
        models=_models(features, policy, perception, served),
        hops=_hops(features),
    )
    if drawn is not None:
        decision.policy_assigned, decision.policy_served = drawn.assigned.version, served.version
        decision.rollout_step = drawn.step
    for modality in sight.unusable:
        decision.missing.add(modality=modality, reason=pb.MISSING_REASON_MODEL_UNAVAILABLE)
    if features.HasField("screening"):
        decision.screening.CopyFrom(features.screening)
        decision.screening.ClearField("hops")
    if perception is not None:
        _describe(decision, perception)
        name = f"{context.tenant}/{context.conversation_id}/{context.utterance_id}"
        exploration = policy.exploration_at(features.screening.level)
        own = perception.strategy if drawn is None else drawn.strategy
        choice = choose(own, policy.taxonomy, step, exploration, f"{version}\n{name}")
        decision.strategy.extend(_probabilities(choice.strategy))
        decision.eligible.extend(choice.strategy)
        decision.exploration = exploration.name
        if override == pb.OVERRIDE_NONE:
            decision.chosen, decision.propensity, decision.explored = choice.chosen, choice.propensity, choice.explored
    said = pb.Turn(
        role=pb.ROLE_USER,
        text=shortened(features.text, kept.chars),
        utterance_id=context.utterance_id,
        label=_likeliest(decision),
        vector=packed(sight.vectors[pb.MODALITY_TEXT]) if pb.MODALITY_TEXT in sight.vectors else b"",
    )
    decision.dialogue.extend(dialogue_with(state, said, kept.turns))
    if perception is not None:
        seen = situation_of(features, sight, perception, state, policy=policy, kept=kept)
        decision.state.extend(seen.values)
        decision.state_version = seen.version
    return decision


def situation_of(
    features: pb.Features,
    sight: Sight,
    perception: Perception,
    state: pb.Conversation | None,
    *,
    policy: Policy,
    kept: Kept,
) -> State:
    """The state that is decided in, as the policy model sees it and the log keeps it."""
    before = dialogue_with(state, pb.Turn(role=pb.ROLE_USER), kept.turns)[:-1]
    level, step = features.screening.level, 0 if state is None else state.steps
    return state_of(perception, sight, step=step, level=level, before=before, taxonomy=policy.taxonomy)


def _describe(decision: pb.Decision, perception: Perception) -> None:
    decision.user_emotion.extend(_probabilities(perception.emotion))
    decision.intensity = perception.intensity
    decision.stage = perception.stage
    decision.system_emotion.extend(_probabilities(perception.system_emotion))
    for modality, emotion in perception.by_modality.items():
        decision.modality_emotions.add(modality=modality, emotion=_probabilities(emotion))


def _probabilities(distribution: Mapping[str, float]) -> list[pb.Probability]:
    return [pb.Probability(label=label, p=p) for label, p in distribution.items()]


def _likeliest(decision: pb.Decision) -> str:
    return max(decision.user_emotion, key=lambda item: item.p).label if decision.user_emotion else ""


def _hops(features: pb.Features) -> list[pb.Hop]:
    """All that were made for the utterance so far, the joiner's last."""
    found = [hop for embedding in features.embeddings for hop in embedding.hops]
    return [*found, *features.screening.hops, *features.hops]


def _models(
    features: pb.Features, policy: Policy, perception: Perception | None, served: Version
) -> list[pb.ModelVersion]:
    """The models behind the decision. Of the encoders no hash is known here: Triton tells a version, no content."""
    found = {
        embedding.model_name: pb.ModelVersion(name=embedding.model_name, version=embedding.model_version)
        for embedding in features.embeddings
    }
    if perception is not None:
        digest = bytes.fromhex(policy.model_sha256)
        found[policy.model] = pb.ModelVersion(name=policy.model, version=perception.model_version, sha256=digest)
    if served.version:
        found[policy.chooser] = pb.ModelVersion(name=policy.chooser, version=served.version, sha256=served.sha256)
    return list(found.values())
