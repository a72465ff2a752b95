"""Each export is opened by the library it is for. They are in an environment of their own: `make test-research`."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from experience_log import made_rows

from multimood.experience import SCHEMA, Folder, rows
from multimood.experience.exports import Wishes, export
from multimood.experience.exports.obp import load_bandit_feedback
from multimood.experience.exports.wishes import Rows
from multimood.experience.table import encode
from multimood.local.places import checkout
from multimood.perception.state import names_of

pytestmark = pytest.mark.integration

WHY = "not in this environment: make test-research"
MADE = made_rows(24, 3)
ATTEMPT = {"faults": [], "score": 0.9, "sent": False, "completion_tokens": 4}
MADE[0] |= {
    "reply_attempts": [
        ATTEMPT | {"index": 0, "score": 0.2}, ATTEMPT | {"index": 1, "score": None, "faults": ["privacy"]},
        ATTEMPT | {"index": 2, "sent": True},
    ],
    "attempt_texts": [{"index": 0, "text": "Cheer up."}, {"index": 1, "text": "Tell me where"}],
}  # fmt: skip
"""One reply with attempts: its pairs have columns that the others leave null."""
WIDTH = len(names_of("state-1:mesc"))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    place = tmp_path / "log/experience/v2/date=2026-09-21/reply-0-0.parquet"
    place.parent.mkdir(parents=True)
    place.write_bytes(encode(MADE, SCHEMA))
    return tmp_path / "log"


def of(log: Path) -> Rows:
    return lambda: rows(Folder(log), feedback=True)


def test_polars_reads_the_files_as_they_are(log: Path) -> None:
    polars = pytest.importorskip("polars", reason=WHY)
    found = polars.scan_parquet(log / "experience/v2/**/*.parquet").filter(polars.col("fit_for_ope")).collect()
    assert found.height == 72
    assert found["propensity"].to_list() == [row["propensity"] for row in MADE]
    assert found["state"].list.len().unique().to_list() == [WIDTH]


def test_hugging_face_reads_the_dataset(log: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason=WHY)
    export(of(log), "hf", tmp_path / "out")
    found = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(found) == 72
    assert "reply_text" not in found.column_names
    assert found[0]["chosen"] == MADE[0]["chosen"]


def small_model(transformers: Any, folder: Path) -> tuple[Any, Any]:
    """A causal model with random weights and a tokenizer of characters: no hub is asked."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    plain = Tokenizer(models.BPE())
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    plain.train_from_iterator([], trainers.BpeTrainer(special_tokens=["<end>", "<pad>"], initial_alphabet=alphabet))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<end>", pad_token="<pad>")
    tokenizer.chat_template = (
        "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer), n_positions=1024, n_embd=16, n_layer=1, n_head=2,
        bos_token_id=tokenizer.eos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    model = transformers.GPT2LMHeadModel(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return transformers.GPT2LMHeadModel.from_pretrained(folder), tokenizer


@pytest.mark.timeout(600)
@pytest.mark.parametrize("form", ["trl-dpo", "trl-kto"])
def test_trl_trains_on_it(log: Path, tmp_path: Path, form: str) -> None:
    trl = pytest.importorskip("trl", reason=WHY)
    transformers, datasets = pytest.importorskip("transformers"), pytest.importorskip("datasets")
    export(of(log), form, tmp_path / "out", Wishes(min_gap=0.0))  # type: ignore[arg-type]
    found = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    if form == "trl-dpo":
        assert set(found["source"]) == {"dialogues", "attempts", "refused"}
    model, tokenizer = small_model(transformers, tmp_path / "model")
    options = {"output_dir": str(tmp_path / "run"), "max_steps": 2, "per_device_train_batch_size": 2, "report_to": [],
               "use_cpu": True, "logging_steps": 1, "save_strategy": "no"}  # fmt: skip
    if form == "trl-dpo":
        trainer = trl.DPOTrainer(model, args=trl.DPOConfig(**options), train_dataset=found, processing_class=tokenizer)
    else:
        from trl import KTOConfig, KTOTrainer

        trainer = KTOTrainer(model, args=KTOConfig(**options), train_dataset=found, processing_class=tokenizer)
    result = trainer.train()
    assert result.global_step == 2
    assert np.isfinite(result.training_loss)


def test_minari_opens_the_episodes(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    minari = pytest.importorskip("minari", reason=WHY)
    monkeypatch.chdir(tmp_path)
    export(of(log), "minari", Path("out"))
    found = minari.MinariDataset(tmp_path / "out/minari/data")
    assert (found.total_episodes, found.total_steps) == (24, 72)
    for episode in found.iterate_episodes():
        assert episode.observations.shape == (4, WIDTH)
        assert found.action_space.contains(int(episode.actions[0]))
        assert episode.terminations.tolist() == [False, False, True]
        assert np.all(episode.infos["propensity"][:-1] > 0)
    first = {round(row["reward"], 6) for row in MADE if row["step"] == 0}
    assert {round(float(episode.rewards[0]), 6) for episode in found.iterate_episodes()} == first


def test_obp_estimates_from_it(log: Path, tmp_path: Path) -> None:
    ope = pytest.importorskip("obp.ope", reason=WHY)
    export(of(log), "obp", tmp_path / "out")
    feedback = load_bandit_feedback(tmp_path / "out")
    behaviour = feedback["behaviour"][:, :, None]
    approval = np.zeros_like(behaviour)
    approval[:, list(feedback["strategies"]).index("approval"), 0] = 1.0
    estimators = [ope.InverseProbabilityWeighting(), ope.SelfNormalizedInverseProbabilityWeighting()]
    evaluation = ope.OffPolicyEvaluation(bandit_feedback=feedback, ope_estimators=estimators)
    own = evaluation.estimate_policy_values(action_dist=behaviour)
    assert own["ipw"] == pytest.approx(feedback["reward"].mean()), "the behaviour policy's own value is the mean"
    better = evaluation.estimate_policy_values(action_dist=approval)
    assert better["snipw"] == pytest.approx(0.8, abs=0.1), "approval is rewarded with 0.8 in this log"


def test_the_quick_start_s_lines_for_obp(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("obp.ope", reason=WHY)
    export(of(log), "obp", tmp_path / "out")
    code = re.findall(r"```python\n(.*?)```", (checkout() / "docs/quickstart-research.md").read_text(), re.DOTALL)[1]
    exec(compile(code.replace("/tmp/obp", str(tmp_path / "out")), "quickstart", "exec"), {})
    assert "snipw" in capsys.readouterr().out
