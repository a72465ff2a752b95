"""Simulated seekers through the gateway, their log evaluated, the estimate beside the truth."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from multimood.cli.demo import fetch_experience
from multimood.client import Client
from multimood.experience import Bucket, Pseudonyms, rows
from multimood.local.stack import Stack
from multimood.ope import Estimate, Limits, Question, Uniform, evaluate, near_logged, read
from multimood.settings import PseudonymSettings
from multimood.simulator.platform import Plan, Told, talk

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(480)]

FEEDBACK_S = 180
"""Feedback that outran the trust score waits for two minutes (services/reward/settings.py)."""
ANY = Limits(least_turns=1, least_conversations=2, least_ess=1, largest_share=1)
"""A few conversations are too few for anybody but a test."""


async def simulated(stack: Stack) -> list[Told]:
    async with Client(stack.gateway, stack.api_key) as client:
        found = [one async for one in talk(client, Plan("e2e-sim", 6, 3, at_once=2, seed=5))]
    assert all(isinstance(one, Told) for one in found), found
    return [one for one in found if isinstance(one, Told)]


def test_the_log_of_simulated_seekers_is_fit_and_has_their_feedback(stack: Stack, tmp_path: Path) -> None:
    told = asyncio.run(simulated(stack))
    fetch_experience(stack.s3, [one.utterance_id for one in told], tmp_path)
    named = Pseudonyms.of(PseudonymSettings(), stack.s3)
    ids = {named.utterance("default", one.utterance_id): one for one in told}
    deadline = time.monotonic() + FEEDBACK_S
    with Bucket(stack.s3) as bucket:
        while True:
            found = [row for row in rows(bucket, feedback=True) if row["utterance_id"] in ids]
            if all(row["feedback"] for row in found) or time.monotonic() > deadline:
                break
            time.sleep(1)
    assert len(found) == len(told)
    for row in found:
        assert row["feedback"][0]["rating"] == pytest.approx(ids[row["utterance_id"]].reward)
        if row["fit_for_ope"]:
            assert row["chosen"] == ids[row["utterance_id"]].strategy
    oracle = {one.utterance_id: one.expected for one in told}
    reading = read(found, "rating", oracle=oracle, called=named.utterance)
    fit = reading.log.decisions()
    assert len(fit) > len(told) / 2, json.dumps(dict(reading.left_out))
    for answer in evaluate(reading.log, Question(near_logged(Uniform(), 0.8), ("snips",), limits=ANY)):
        assert isinstance(answer, Estimate), answer
        assert answer.truth is not None
        assert answer.low - 0.05 <= answer.truth <= answer.high + 0.05  # a handful of turns: the bootstrap is rough
