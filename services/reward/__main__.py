from typing import cast

import httpx

from multimood.bus import Bus, Worker, WorkerSettings, run_worker
from multimood.experience.sealing import RowSeals
from multimood.experience.table import EXPERIENCE_TABLE, FEEDBACK_TABLE
from multimood.experience.writer import LogWriter
from multimood.inference import InferenceClient
from multimood.media.text import TextTokenizer
from multimood.privacy import Keyring, MasterKeys, Pseudonyms
from multimood.settings import PrivacySettings, PseudonymSettings, StoreSettings, TritonSettings
from multimood.store import Store
from multimood.trust import EmpathyHead, Judge, JudgeRules, QualityHead, ReplyRules, RulesJudge, TrustWeights
from multimood.trust.embedding import embedder
from multimood.trust.judges import learned_judges, rule_judges
from services.reward.agent import INPUTS, Reward, RewardProcessor
from services.reward.core import SERVICE
from services.reward.feedback import FeedbackLog
from services.reward.judges import Patient, llm_client, llm_judge
from services.reward.memory import Memory
from services.reward.scoring import Scorer
from services.reward.settings import RewardSettings


def make(settings: WorkerSettings) -> Worker:
    """Wire the service."""
    own, s3 = RewardSettings(), StoreSettings()
    store, triton, llm = Store(s3), InferenceClient(TritonSettings()), llm_client(own)
    pseudonyms = Pseudonyms.of(PseudonymSettings(), s3)
    master = MasterKeys.of(PrivacySettings())
    seals = RowSeals(Keyring(store, s3.keys_bucket, master)) if master is not None else None
    rules, memory = ReplyRules.load(own.reply_rules), Memory()
    rows = LogWriter(store, s3.experience_bucket, EXPERIENCE_TABLE, flush_s=own.flush_s)
    ratings = LogWriter(store, s3.experience_bucket, FEEDBACK_TABLE, flush_s=own.flush_s)
    judges = _judges(own, triton, llm, rules)
    scorer = Scorer(judges, TrustWeights.load(own.weights), rules, concurrency=own.concurrency)

    def build(bus: Bus) -> RewardProcessor:
        reward = Reward(bus, scorer, rows, memory, bucket=s3.experience_bucket, pseudonyms=pseudonyms, seals=seals)
        feedback = FeedbackLog(bus, ratings, memory, own.feedback_wait_s, pseudonyms)
        return RewardProcessor(bus, reward, feedback, logs=(rows, ratings), memory=memory, settings=own)

    async def store_ready() -> bool:
        await store.list(s3.experience_bucket, "experience/", most=1)
        return True

    worker = Worker(
        SERVICE,
        INPUTS,
        build,
        settings=settings,
        checks={"store": store_ready},
        on_stop=(rows.close, ratings.close, triton.close, llm.aclose, store.close),
        holds=lambda: cast("RewardProcessor", worker.processor).held,
    )
    return worker


def _judges(own: RewardSettings, triton: InferenceClient, llm: httpx.AsyncClient, rules: ReplyRules) -> list[Judge]:
    """In the order in which they are asked."""
    embed = embedder(triton, TextTokenizer(own.tokenizer), own.model)
    learned = learned_judges(embed, EmpathyHead.load(own.empathy_head), QualityHead.load(own.quality_head))
    judges: list[Judge] = [
        *rule_judges(rules, JudgeRules.load(own.judge_rules)),
        *(Patient(judge, deadline_s=own.judge_deadline_s, rest_s=own.rest_s) for judge in learned),
    ]
    if own.llm_url:
        # The rules of claims leave open what they find no fault in: a language model can say more.
        taken = {criterion for judge in judges if judge.name != RulesJudge.name for criterion in judge.criteria}
        judges.append(Patient(llm_judge(own, llm, taken), deadline_s=own.llm_deadline_s, rest_s=own.rest_s))
    return judges


if __name__ == "__main__":
    run_worker(
        SERVICE,
        "Scores every reply on seven criteria, and writes the experience log.",
        make,
        (RewardSettings, StoreSettings, PrivacySettings, PseudonymSettings, TritonSettings),
    )
