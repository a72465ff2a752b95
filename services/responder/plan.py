"""From a decision to what is to be done about it. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from multimood.contracts.v1 import events_pb2 as pb
from multimood.generation import Situation
from multimood.generation.dialogue import Said
from multimood.safety import Kind, Verdict
from multimood.safety.risk import is_crisis, verdict_of


@dataclass(frozen=True, slots=True)
class Silence:
    """The sentinel has answered."""


@dataclass(frozen=True, slots=True)
class SayVetted:
    """A text that people have approved."""

    kind: Kind
    reason: str


@dataclass(frozen=True, slots=True)
class Generate:
    """A reply of the language model to an utterance with this verdict."""

    verdict: Verdict


Plan: TypeAlias = Silence | SayVetted | Generate

_VETTED: Final = {
    pb.OVERRIDE_UNSCREENED: SayVetted("unscreened", "unscreened"),
    pb.OVERRIDE_NO_INPUT: SayVetted("unscreened", "no_input"),
    pb.OVERRIDE_ESCALATED: SayVetted("escalated", "escalated"),
    pb.OVERRIDE_EVIDENCE: SayVetted("elevated", "evidence"),
}


def plan_of(decision: pb.Decision) -> Plan:
    """Nothing is generated without the sentinel's verdict that it may be, whatever the decision says.

    Nor while the sentinel holds the conversation until a human takes over.
    """
    if decision.override == pb.OVERRIDE_CRISIS or is_crisis(decision.screening.level):
        return Silence()
    verdict = verdict_of(decision.screening)
    if decision.override == pb.OVERRIDE_MODEL_UNAVAILABLE:
        return SayVetted(without_model(verdict), "model_unavailable")
    if decision.override != pb.OVERRIDE_NONE:
        return _VETTED.get(decision.override, SayVetted("unavailable", "unknown_override"))
    if verdict is None:
        return _VETTED[pb.OVERRIDE_UNSCREENED]
    return _VETTED[pb.OVERRIDE_ESCALATED] if decision.screening.held else Generate(verdict)


def without_model(verdict: Verdict | None) -> Kind:
    """The kind of text where the model gave no reply: words of low risk get one that helps until there is one."""
    return "low" if verdict is not None and verdict.level == "low" else "unavailable"


def situation_of(decision: pb.Decision) -> Situation:
    """What the prompt says of the person and of the reply."""
    emotion, likelihood = _likeliest(decision.user_emotion)
    return Situation(
        strategy=decision.chosen,
        emotion=emotion,
        emotion_p=likelihood,
        intensity=decision.intensity,
        stage=decision.stage,
        system_emotion=_likeliest(decision.system_emotion)[0],
        locale=decision.context.locale,
    )


def dialogue_of(decision: pb.Decision) -> Sequence[Said]:
    """The turns so far, the person's current one last."""
    return [Said("assistant" if turn.role == pb.ROLE_SYSTEM else "user", turn.text) for turn in decision.dialogue]


def _likeliest(distribution: Iterable[pb.Probability]) -> tuple[str, float]:
    return max(((item.label, item.p) for item in distribution), key=lambda item: item[1], default=("", 0.0))
