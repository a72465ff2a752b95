"""The parts of the fusion training that learn, on invented numbers; and the graph beside its formulas."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the training environment: `make train-env`")
pytest.importorskip("onnxruntime", reason="needs the training environment: `make train-env`")

pytest.importorskip("torch", reason="needs the training environment: `make train-env`")

import torch

from multimood.taxonomy import EMOTIONS
from multimood.training.encoders import Kept, open_graph
from multimood.training.fusion import emotion
from multimood.training.fusion.attention import fit, fused
from multimood.training.fusion.context import Context
from multimood.training.fusion.dialogues import Dialogue, Turn
from multimood.training.fusion.graph import OUTPUTS, build
from multimood.training.fusion.pairs import Evidence, matched, votes_of
from multimood.training.fusion.parameters import DEPRESSION, MASKS, SADNESS, Attention, Heads, Parameters
from multimood.training.fusion.samples import moments_of
from multimood.training.fusion.served import Fusion
from multimood.training.fusion.shape import HEADS, Shape
from multimood.training.fusion.teach import Lesson, Parts, say, scores, teach
from multimood.training.fusion.teach import Recipe as TeachRecipe
from multimood.training.heads import (
    Network,
    Recipe,
    Task,
    _slopes,
    fit_hidden,
    softmax,
)  # fmt: skip
from multimood.training.runs import Run
from multimood.training.softmax import fit_softmax

pytestmark = pytest.mark.unit

EVERY = np.ones(3, np.bool_)


def task(labels: np.ndarray, size: int = 3, allowed: np.ndarray | None = None) -> Task:
    shut = np.ones((len(labels), size), np.bool_) if allowed is None else np.tile(allowed, (len(labels), 1))
    return Task(labels, shut, np.ones(len(labels), np.float32))


def blobs(seed: int = 0, count: int = 600) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(seed)
    labels = chance.integers(0, 3, count)
    centres = np.array([[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0]])
    x = centres[labels] + chance.standard_normal((count, 4))
    x[:, 3] = 7.0  # never varies
    return x.astype(np.float32), labels


# --- networks --------------------------------------------------------------------------------------------------------


def test_a_head_learns_and_an_input_that_never_varied_has_no_say() -> None:
    x, labels = blobs()
    network = emotion.fit_deep(Recipe(hidden=16, epochs=40, rate=1e-2, dropout=0.1, blanked=0.0), 5)(x, task(labels))
    assert (network.logits(x).argmax(axis=1) == labels).mean() > 0.8
    far = x.copy()
    far[:, 3] = -1e6
    assert np.array_equal(network.logits(far), network.logits(x))


def test_the_hidden_head_learns_and_is_the_same_for_the_same_seed() -> None:
    x, labels = blobs()
    recipe = Recipe(hidden=16, epochs=40, rate=1e-2, dropout=0.1, blanked=0.0)
    one, other = (emotion.fit_deep(recipe, 5)(x, task(labels)) for _ in range(2))
    assert (one.logits(x).argmax(axis=1) == labels).mean() > 0.8
    assert np.array_equal(one.outer, other.outer)
    far = x.copy()
    far[:, 3] = 1e4
    assert one.logits(far) == pytest.approx(one.logits(x), abs=1e-3)


def test_gradients_are_those_of_the_loss() -> None:
    chance = np.random.default_rng(1)
    x = chance.standard_normal((6, 4)).astype(np.float32)
    parameters = [chance.standard_normal(shape).astype(np.float32) for shape in ((4, 5), (5,), (5, 3), (3,))]
    target = task(np.array([0, 1, 0, 1, 1, 0]), allowed=np.array([True, True, False]))
    target.weights[:] = [1, 2, 3, 1, 2, 3]
    recipe = Recipe(dropout=0.0, blanked=0.0)

    def loss() -> float:
        shares = softmax(np.where(target.allowed, Network(*parameters).logits(x), -1e9))
        return float(-(target.weights * np.log(shares[np.arange(6), target.labels])).mean())

    found = _slopes(parameters, x, target, recipe, chance)
    for array, slope in zip(parameters, found, strict=True):
        for place in list(np.ndindex(array.shape))[::3]:
            kept, step = array[place], np.float32(1e-2)
            array[place] = kept + step
            above = loss()
            array[place] = kept - step
            below = loss()
            array[place] = kept
            assert slope[place] == pytest.approx((above - below) / (2 * step), abs=2e-3)


def test_a_label_that_a_corpus_does_not_know_is_not_learned_from_it() -> None:
    x, labels = blobs()
    rows = labels < 2
    pushed = fit_softmax(x[rows], task(labels[rows], allowed=np.array([True, True, False])), 1.0)
    assert np.abs(pushed.outer[:, 2]).max() == 0
    assert np.abs(pushed.outer_bias[2]) < 1e-6


# --- calibration -----------------------------------------------------------------------------------------------------


def pooled(x: np.ndarray, labels: np.ndarray) -> emotion.Pool:
    count = len(labels)
    return emotion.Pool(
        x, task(labels), np.array(["a", "b"])[np.arange(count) % 2], np.array([str(n // 3) for n in range(count)]),
        np.arange(count) >= count - 30,
    )  # fmt: skip


def test_a_temperature_undoes_overconfidence() -> None:
    chance = np.random.default_rng(2)
    logits = chance.standard_normal((4_000, 3)).astype(np.float32) * 2
    labels = np.array(
        [chance.choice(3, p=softmax(row).astype(np.float64) / softmax(row).sum(dtype=np.float64)) for row in logits]
    )
    pool = pooled(logits, labels)
    assert emotion.temperature(logits * 3, pool, ~pool.held) == pytest.approx(3, rel=0.1)


def test_folds_keep_groups_together_and_hold_nothing_of_the_validation_part() -> None:
    x, labels = blobs(count=120)
    pool = pooled(x, labels)
    folds = emotion.folds_of(pool, 0)
    assert set(folds[~pool.held]) == set(range(emotion.FOLDS))
    assert (folds[pool.held] == -1).all()
    for group in set(pool.groups[~pool.held]):
        assert len(set(folds[(pool.groups == group) & ~pool.held])) == 1


def test_logits_of_unseen_rows_come_from_networks_that_did_not_see_them() -> None:
    chance = np.random.default_rng(3)
    x = chance.standard_normal((200, 150)).astype(np.float32)
    labels = chance.integers(0, 3, 200)
    pool = pooled(x, labels)
    folds = emotion.folds_of(pool, 0)
    networks = emotion.unseen_networks(pool, lambda x, task: fit_softmax(x, task, 100.0), folds)
    seen = networks[-1].logits(x)[~pool.held].argmax(axis=1) == labels[~pool.held]
    unseen = emotion.unseen_logits(networks, x, folds)[~pool.held].argmax(axis=1) == labels[~pool.held]
    assert seen.mean() > 0.95, "noise can be learnt by heart"
    assert unseen.mean() < 0.5, "but not guessed"


def linear(chance: np.random.Generator, width: int, size: int) -> Network:
    slopes, bias = chance.standard_normal((width, size)) / 10, chance.standard_normal(size)
    return Network(None, None, slopes.astype(np.float32), bias.astype(np.float32))


SHAPE = Shape(members=2, width=16, layers=2, heads=4)
WIDE = {"text": 384, "audio": 256, "video": 512}


def weights_of(shape: Shape) -> dict[str, np.ndarray]:
    """A network as it begins, by the names that the graph reads."""
    torch.manual_seed(0)
    network = Context(shape, 0.0)
    for value in network.parameters():  # nothing of it may be trivial
        value.data += torch.randn_like(value) * 0.1
    return {name: value.detach().half().float().numpy() for name, value in network.named_parameters()}


@pytest.fixture(scope="module")
def parameters() -> Parameters:
    chance = np.random.default_rng(6)
    hidden = Network(
        chance.standard_normal((384, 9)).astype(np.float16).astype(np.float32), np.zeros(9, np.float32),
        chance.standard_normal((9, 8)).astype(np.float16).astype(np.float32), np.zeros(8, np.float32),
    )  # fmt: skip
    draw = lambda *size: chance.standard_normal(size).astype(np.float32)  # noqa: E731
    return Parameters(
        SHAPE,
        weights_of(SHAPE),
        dict.fromkeys(HEADS, 1.5) | {"intensity": 1.0},
        Heads(
            hidden, emotion.closed(linear(chance, 256, 8), ("depression",)),
            emotion.closed(linear(chance, 512, 8), ("depression",)), np.array([1.0, 2.0, 3.0], np.float32),
            tuple(np.stack([np.full(d, -2.0), np.full(d, 2.0)]).astype(np.float32) for d in (256, 512)),  # type: ignore[arg-type]
            linear(chance, 256, 2),
        ),
        Attention(draw(16, 8), draw(3, 8, 8), draw(3, 8), draw(MASKS, 3) + 1, draw(MASKS, 8)),
    )  # fmt: skip


@pytest.fixture(scope="module")
def fusion(parameters: Parameters, tmp_path_factory: pytest.TempPathFactory) -> Fusion:
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    build(parameters).save(path)
    return Fusion(open_graph(path))


def drawn(chance: np.random.Generator, count: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Vectors of all modalities, and histories of different lengths."""
    vectors = {name: (2 * chance.standard_normal((count, d))).astype(np.float32) for name, d in WIDE.items()}
    vectors["text"] /= np.linalg.norm(vectors["text"], axis=1, keepdims=True)
    past = chance.standard_normal((count, 12, 384)).astype(np.float32)
    past /= np.linalg.norm(past, axis=2, keepdims=True)
    marks = chance.random((count, 12, 20)).astype(np.float32)
    marks[..., 0], marks[..., 1] = 1, 0
    marks[:, ::2, :2] = (0, 1)
    for number in range(count):
        past[number, : 12 - number], marks[number, : 12 - number] = 0, 0
    return vectors, {"past": past, "marks": marks, "step": chance.random((count, 1)).astype(np.float32)}


def test_the_graph_is_the_network_for_every_mask(parameters: Parameters, fusion: Fusion) -> None:
    """Beside torch, line by line: the dialogue network, the heads, the attention, the chain."""
    network = Context(SHAPE, 0.0).eval()
    network.load_state_dict({name: torch.from_numpy(value) for name, value in parameters.context.items()})
    every, told = drawn(np.random.default_rng(7), 6)
    scale = np.float32(np.sqrt(384))
    for mask in range(1, MASKS):
        vectors = {name: every[name] for place, name in enumerate(every) if mask >> place & 1}
        here = torch.full((6,), float("text" in vectors))
        with torch.inference_mode():
            said = network(
                torch.from_numpy(every["text"] * scale), here, torch.from_numpy(told["past"] * scale),
                torch.from_numpy(told["marks"]), torch.from_numpy(told["step"][:, 0]),
            )  # fmt: skip
        answer = said["answer"].mean(0).numpy()
        votes = np.zeros((6, 3, 8), np.float32)
        votes[:, 0] = np.log(softmax(said["emotion"].mean(0).numpy() / 1.5))
        for place, head in ((1, parameters.heads.audio), (2, parameters.heads.video)):
            x = every[tuple(WIDE)[place]].clip(*parameters.heads.bounds[place - 1])
            votes[:, place] = votes_of(head.logits(x) / parameters.heads.temperatures[place])
        present = np.tile([name in vectors for name in WIDE], (6, 1)).astype(np.float32)
        shown = Evidence(answer, votes, present, np.zeros(6, np.int64), np.ones((6, 8), np.bool_))
        expected = fused(parameters.attention, shown)
        found = fusion(6, **vectors, **told)
        assert found["emotion"] == pytest.approx(expected, abs=2e-3), mask
        for name, labels in OUTPUTS:
            assert found[name].shape == (6, len(labels))
            assert found[name].sum(axis=1) == pytest.approx(np.ones(6), abs=1e-5)
        if "text" in vectors:
            strong = said["intensity"].mean(0)[:, 0].sigmoid().numpy()
            assert found["intensity"][:, 0] == pytest.approx(strong, abs=1e-3)
            own = softmax(parameters.heads.text.logits(every["text"] * scale))
            assert found["modality_emotion"][:, 0] == pytest.approx(own, abs=1e-3)


def test_the_support_heads_are_told_the_fused_emotion(fusion: Fusion) -> None:
    every, told = drawn(np.random.default_rng(8), 2)
    worded = fusion(2, text=every["text"], **told)
    joined = fusion(2, text=every["text"], audio=every["audio"], **told)
    assert not np.allclose(worded["emotion"], joined["emotion"])
    assert not np.allclose(worded["strategy_mesc"], joined["strategy_mesc"]), "a voice changes what is done"


def test_what_was_before_the_first_turn_has_no_say(fusion: Fusion) -> None:
    every, told = drawn(np.random.default_rng(9), 3)
    found = fusion(3, text=every["text"], **told)
    filled = told["past"].copy()
    filled[told["marks"][..., :2].sum(-1) == 0] = 7
    again = fusion(3, text=every["text"], **(told | {"past": filled}))
    for name, value in found.items():
        assert again[name] == pytest.approx(value, abs=1e-6), name


def test_one_broken_number_does_not_decide(fusion: Fusion) -> None:
    audio = np.zeros((1, 256), np.float32)
    whole = fusion(1, audio=audio)["emotion"]
    for broken in (np.nan, np.inf, -np.inf, 1e30):
        audio[0, 5] = broken
        assert fusion(1, audio=audio)["emotion"] == pytest.approx(whole, abs=1e-6)


def test_the_graph_is_the_same_file_each_time(parameters: Parameters, tmp_path: Path) -> None:
    for name in ("one", "other"):
        build(parameters).save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_a_hidden_fit_follows_its_recipe() -> None:
    x, labels = blobs()
    assert fit_hidden(x, task(labels), Recipe(hidden=7, epochs=1), 0).inner.shape == (4, 7)  # type: ignore[union-attr]


# --- dialogues -------------------------------------------------------------------------------------------------------


def invented() -> list[Dialogue]:
    """Dialogues in which what a person feels is what they felt before, and words tell of it at the beginning."""
    chance = np.random.default_rng(0)
    found = []
    for number in range(60):
        felt = int(chance.integers(2))
        turns = []
        for turn in range(4):
            text = f"{('sad', 'glad')[felt]} {chance.integers(5)}" if turn == 0 else f"so {chance.integers(20)}"
            turns += [Turn("p", text, emotion=(1, 5)[felt]), Turn("s", f"what {felt}", strategy=felt)]
        found.append(Dialogue("mesc", f"d{number}", number % 5 == 0, "s", turns))
    return found


def lesson() -> tuple[Lesson, Parts]:
    moments, texts = moments_of(invented())
    chance = np.random.default_rng(1)
    vectors = chance.standard_normal((len(texts), 384)).astype(np.float32)
    vectors[:, 0] += [40 * (("glad" in text) - ("sad" in text)) for text in texts]
    parts = Parts(*(np.flatnonzero(moments.held == held).tolist() for held in (False, True)))
    return Lesson(moments, vectors, np.full((len(texts), 8), 1 / 8, np.float32)), parts


def test_a_dialogue_s_beginning_is_remembered_and_learned(tmp_path: Path) -> None:
    given, parts = lesson()
    shown = {"dropout": 0.0, "forgotten": 0.0, "wordless": 0.0}
    recipe = TeachRecipe(epochs=8, batch=16, rate=3e-3, warm_up=10, patience=9, **shown)
    network = teach(given, parts, SHAPE, recipe, seed=0, run=Run(tmp_path / "run", {}))
    found = scores(given, parts.apart, say(network, given, parts.apart))
    assert found["emotion mesc"]["accuracy"] > 0.9, "later words say nothing; the first ones did"
    assert found["emotion mesc"]["majority"] < 0.7


def test_a_run_that_was_broken_off_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    given, parts = lesson()
    recipe = TeachRecipe(epochs=3, batch=16, warm_up=10, patience=9)
    whole = teach(given, parts, SHAPE, recipe, seed=0, run=Run(tmp_path / "whole", {}))

    class BreakingOff(Run):
        def note(self, **values: object) -> None:
            if values["epoch"] == 3:
                raise KeyboardInterrupt
            super().note(**values)

    with pytest.raises(KeyboardInterrupt):
        teach(given, parts, SHAPE, recipe, seed=0, run=BreakingOff(tmp_path / "broken", {}))
    resumed = teach(given, parts, SHAPE, recipe, seed=0, run=Run(tmp_path / "broken", {}))
    for (name, one), (_, other) in zip(whole.named_parameters(), resumed.named_parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6), name


def test_the_attention_listens_to_whom_the_words_leave_room() -> None:
    """Words are sure in half of the moments and say nothing in the others, where the voice is right."""
    chance = np.random.default_rng(3)
    labels = chance.choice([1, 5], 2_000)
    sure = chance.random(2_000) < 0.5
    votes = np.log(np.full((2_000, 3, 8), 1 / 8, np.float32))
    votes[sure, 0] = np.log(0.9 * np.eye(8)[labels[sure]] + 0.1 / 8)
    voices = np.where(sure, chance.choice([1, 5], 2_000), labels)
    votes[:, 1] = np.log(0.9 * np.eye(8)[voices] + 0.1 / 8)
    present = np.tile(np.array([1, 1, 0], np.float32), (2_000, 1))
    answer = np.where(sure[:, None], 1, -1) * np.ones((2_000, 4), np.float32)
    shown = Evidence(answer.astype(np.float32), votes, present, labels, np.ones((2_000, 8), np.bool_))
    found = fused(fit(shown, 0), shown).argmax(axis=1)
    assert (found == labels).mean() > 0.95


def test_matched_pairs_have_one_label_and_every_mask() -> None:
    labels = np.tile(np.arange(8), 100)
    blank = Evidence(
        np.zeros((800, 4), np.float32), np.zeros((800, 3, 8), np.float32), np.tile(np.float32([1, 0, 0]), (800, 1)),
        labels, np.ones((800, 8), np.bool_),
    )  # fmt: skip
    theirs = np.array([0, 1, 2, 4, 5, 6])
    others = [(place, np.eye(8, dtype=np.float32)[theirs], theirs) for place in (1, 2)]
    found = matched(blank, blank, others, 0)
    masks = found.present @ np.array([1, 2, 4])
    assert set(masks) == set(range(MASKS)), "0 only where a mask had nothing but a modality that knows no such label"
    for place in (1, 2):
        shown = np.flatnonzero(found.present[:, place])
        heard = found.votes[shown, place].argmax(axis=1)
        wanted = np.where(labels[shown] == DEPRESSION, SADNESS, labels[shown])
        assert (heard == wanted).all()
        assert not found.present[labels == EMOTIONS.index("surprise"), place].any()


def test_moments_know_what_was_before_and_nothing_else() -> None:
    """A supporter who goes on is asked what they do next, from what was said so far."""
    turns = [Turn("s", "hello", strategy=9), Turn("p", "a", emotion=1), Turn("s", "b", strategy=0),
             Turn("s", "c", strategy=1), Turn("p", "d", emotion=5)]  # fmt: skip
    moments, texts = moments_of([Dialogue("mesc", "d", False, "s", turns)])
    said = [[texts[place] for place in row if place >= 0] for row in moments.past]
    assert said == [["hello"], ["hello", "a", "b"], ["hello", "a", "b", "c"]]
    assert [texts[place] if place >= 0 else None for place in moments.current] == ["a", None, "d"]
    assert moments.strategy_mesc.tolist() == [0, 1, -1]
    assert moments.emotion.tolist() == [1, -1, 5]
    assert moments.step.tolist() == [0, 1, 1]
    assert moments.role[1][-3:].tolist() == [2, 1, 2]
    assert moments.follows.tolist() == [False, True, False]


# --- vectors ---------------------------------------------------------------------------------------------------------


def test_vectors_are_kept_and_what_was_half_written_is_written_again(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    one, other = (chance.standard_normal((3, 4)).astype(np.float32) for _ in range(2))
    kept = Kept(tmp_path / "text-1", 4)
    kept.add(["a", "b", "c"], one)
    with (tmp_path / "text-1.f32").open("ab") as file:
        file.write(b"broken off")
    with (tmp_path / "text-1.keys").open("ab") as file:
        file.write(b"half")
    again = Kept(tmp_path / "text-1", 4)
    assert "b" in again
    assert "d" not in again
    again.add(["d", "e", "f"], other)
    assert Kept(tmp_path / "text-1", 4).of(["e", "a", "e"]).tolist() == [
        other[1].tolist(),
        one[0].tolist(),
        other[1].tolist(),
    ]
