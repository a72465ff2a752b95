"""Who lets pass what the gate let pass: a human by name, or a file of rules that a human wrote."""

import tomllib
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from multimood.contracts.v1 import events_pb2 as pb
from multimood.rollout.candidate import Candidate
from multimood.rollout.errors import PromotionRefusedError


class Approvals(BaseModel):
    """The file of `--policy-file`: what may be promoted without a human, and in whose name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    operator: str = Field(min_length=1, max_length=64)
    """Who answers for it; the steps name them."""
    learners: list[str] = Field(min_length=1)
    """Learners whose work may be promoted: direct, bandit, cql; of reply models sft, dpo, grpo."""
    policies: list[str] = []
    """Names of policies that may be promoted, of reply models the names of their runs' folders; empty: any."""
    until: date | None = None
    """Last day (UTC) of this leave."""


def approved_by(operator: str, file: Path | None, candidate: Candidate) -> str:
    """Who lets it pass.

    Raises:
        PromotionRefusedError: nobody does.
    """
    if file is None:
        if not operator:
            raise PromotionRefusedError(
                "somebody must let this pass: say who with --operator NAME, or give --policy-file"
            )
        return operator
    approvals = _read(file)
    learner, policy = (candidate.properties.get(name, "") for name in ("learner", "policy"))
    if learner not in approvals.learners:
        raise PromotionRefusedError(f"{file} lets {', '.join(approvals.learners)} pass, this is of {learner!r}")
    if approvals.policies and policy not in approvals.policies:
        raise PromotionRefusedError(f"{file} names {', '.join(approvals.policies)}, this is {policy!r}")
    if approvals.until is not None and datetime.now(UTC).date() > approvals.until:
        raise PromotionRefusedError(f"{file} gave its leave until {approvals.until}: renew it")
    return operator or approvals.operator


def check_never_taken_back(steps: Iterable[pb.Rollout], candidate: Candidate) -> None:
    """Of a file of rules: what was once taken back is a human's affair.

    Raises:
        PromotionRefusedError: this graph was.
    """
    for step in steps:
        if step.stage == pb.ROLLOUT_STAGE_ROLLED_BACK and step.challenger.sha256 == candidate.sha256:
            raise PromotionRefusedError(
                f"this was taken back before ({step.reason}): somebody must let it pass by name, --operator NAME"
            )


def _read(file: Path) -> Approvals:
    try:
        return Approvals.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise PromotionRefusedError(f"{file} is not there: write it, or say --operator NAME") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PromotionRefusedError(f"{file} is no TOML: {error}") from None
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise PromotionRefusedError(f"{file}: {faults}") from None
