"""The judges, made safe for live traffic: bounded in time, let alone while they are down, never in the others' way."""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import httpx

from multimood.errors import DeadlineExceededError, MultimoodError, UnavailableError
from multimood.taxonomy import CRITERIA
from multimood.trust import Judge, TrustCase
from multimood.trust.kept import KeptScores
from multimood.trust.llm import LLMJudge, Rubric
from multimood.trust.spending import Prices
from services.reward.settings import RewardSettings

logger = logging.getLogger(__name__)

FAULTS_BEFORE_REST: Final = 3


class JudgeAbsentError(UnavailableError):
    """A judge could not score; `code` says why, and its criteria stay open."""

    code = "absent"


class JudgeRestsError(JudgeAbsentError):
    """It failed several times in a row and is not asked for a while."""

    code = "resting"


class JudgeRefusesError(JudgeAbsentError):
    """It failed in a way that trying again does not cure."""

    code = "refused"


class Patient:
    """A judge whose every failure is an absence: at most `deadline_s` a case, and a rest after three failures in a row.

    Without the rest each reply would wait the whole deadline for a dead judge.
    """

    def __init__(
        self, judge: Judge, *, deadline_s: float, rest_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._judge = judge
        self._deadline_s = deadline_s
        self._rest_s = rest_s
        self._clock = clock
        self._faults = 0
        self._awake_at = 0.0

    @property
    def name(self) -> str:
        """The judge's."""
        return self._judge.name

    @property
    def version(self) -> str:
        """The judge's."""
        return self._judge.version

    @property
    def criteria(self) -> Sequence[str]:
        """The judge's."""
        return self._judge.criteria

    async def score(self, case: TrustCase) -> Mapping[str, float]:
        """Ask the judge. Raises UnavailableError, nothing else."""
        if self._clock() < self._awake_at:
            raise JudgeRestsError(f"{self.name} failed {self._faults} times in a row and is not asked for the moment")
        try:
            async with asyncio.timeout(self._deadline_s):
                scores = await self._judge.score(case)
        except TimeoutError:
            raise self._fault(
                DeadlineExceededError(f"{self.name} gave no scores within {self._deadline_s:g} s")
            ) from None
        except UnavailableError as error:
            raise self._fault(error) from None
        except Exception as error:
            # A refused key or a bug: the other judges' scores must not be lost by it.
            logger.exception("a judge fails", extra={"judge": self.name})
            kind = error.code if isinstance(error, MultimoodError) else type(error).__name__
            raise self._fault(JudgeRefusesError(f"{self.name} fails: {kind}")) from None
        self._faults = 0
        return scores

    def _fault(self, error: UnavailableError) -> UnavailableError:
        self._faults += 1
        if self._faults >= FAULTS_BEFORE_REST:
            self._awake_at = self._clock() + self._rest_s
        return error


def llm_client(settings: RewardSettings) -> httpx.AsyncClient:
    """The connection to the endpoint of the language model; opens nothing until it is used."""
    key = settings.llm_key.get_secret_value()
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.AsyncClient(base_url=settings.llm_url, headers=headers, timeout=settings.llm_deadline_s)


def llm_judge(settings: RewardSettings, client: httpx.AsyncClient, taken: Collection[str]) -> LLMJudge:
    """The judge of the criteria that nobody else has `taken`."""
    criteria = [criterion for criterion in CRITERIA if criterion not in taken]
    rubric = Rubric.load(settings.llm_rubric)
    return LLMJudge(
        client,
        settings.llm_model,
        rubric,
        criteria,
        timeout_s=settings.llm_deadline_s,
        kept=KeptScores(settings.llm_cache),
        prices=Prices(settings.llm_price_prompt, settings.llm_price_completion),
    )
