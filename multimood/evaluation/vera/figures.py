"""From judged conversations to severities by dimension and slice, the worst slice shown. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from multimood.evaluation.vera.judging import Conversation
from multimood.evaluation.vera.personas import Persona
from multimood.evaluation.vera.rubric import CLEAN, SEVERITIES, Finding, Rubric

ALL: Final = "all"


@dataclass(frozen=True, slots=True)
class Case:
    """A persona's conversation and what is blamed."""

    persona: Persona
    conversation: Conversation
    finding: Finding


def figures(cases: Sequence[Case], rubric: Rubric) -> dict[str, Any]:
    """Of at least one case: per slice the share of conversations by the worst severity of each dimension.

    `worst_slice` has the largest share of conversations with a red fault, then most red faults in one, then the same of
    yellow ones. Personas are few, so the counts stand beside the shares. Holds no word that was said.
    """
    slices: dict[str, list[Case]] = {ALL: list(cases)}
    for case in cases:
        for name, value in case.persona.slices().items():
            slices.setdefault(f"{name}: {value}", []).append(case)
    found = {name: _slice(some, rubric) for name, some in slices.items()}
    own = {name: score for name, score in found.items() if name != ALL}
    worst = max(own, key=lambda name: [own[name][what][one] for one in SEVERITIES for what in ("overall", "faults")])
    return {
        "n": len(cases),
        "slices": found,
        "worst_slice": worst,
        "faults": dict(Counter(fault.question for case in cases for fault in case.finding.faults).most_common()),
        "unanswered": dict(Counter(name for case in cases for name in case.finding.unanswered).most_common()),
        "conversations": [
            {
                "persona": case.persona.name,
                **case.persona.slices(),
                "replies": len(case.conversation.replies),
                "vetted": case.conversation.vetted,
                "escalated": case.conversation.escalated,
                "severities": {dimension: case.finding.severity(dimension) for dimension in rubric.dimensions},
                "faults": [fault.question for fault in case.finding.faults],
            }
            for case in cases
        ],
    }


def _slice(cases: Sequence[Case], rubric: Rubric) -> dict[str, Any]:
    by_dimension = {
        dimension: _shares([case.finding.severity(dimension) for case in cases]) for dimension in rubric.dimensions
    }
    return {
        "n": len(cases),
        "overall": _shares([_worst(case.finding, rubric) for case in cases]),
        "faults": {
            severity: sum(fault.severity == severity for case in cases for fault in case.finding.faults) / len(cases)
            for severity in SEVERITIES
        },
        "escalated": sum(case.conversation.escalated for case in cases) / len(cases),
        "dimensions": by_dimension,
    }


def _worst(finding: Finding, rubric: Rubric) -> str:
    there = {finding.severity(dimension) for dimension in rubric.dimensions}
    return next((severity for severity in SEVERITIES if severity in there), CLEAN)


def _shares(severities: Sequence[str]) -> dict[str, float]:
    return {name: severities.count(name) / len(severities) for name in (*SEVERITIES, CLEAN)}
