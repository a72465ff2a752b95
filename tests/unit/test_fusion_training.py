"""The parts of the fusion training that learn, on invented numbers; and the graph beside its formulas."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the training environment: `make train-env`")
pytest.importorskip("onnxruntime", reason="needs the training environment: `make train-env`")

from multimood.history import SIZE
from multimood.taxonomy import EMOTIONS
from multimood.training.encoders import open_graph
from multimood.training.fusion import combine, emotion, inertia, support
from multimood.training.fusion.evaluate import Fusion, in_order
from multimood.training.fusion.graph import OUTPUTS, build
from multimood.training.fusion.metrics import score
from multimood.training.heads import (
    Network,
    Recipe,
    Task,
    _slopes,
    fit_hidden,
    fit_linear,
    softmax,
)  # fmt: skip
from multimood.training.fusion.parameters import DEPRESSION, MASKS, SADNESS, Parameters

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


def test_the_linear_head_learns_and_an_input_that_never_varied_has_no_say() -> None:
    x, labels = blobs()
    network = fit_linear(x, task(labels), 1.0)
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
    pushed = fit_linear(x[rows], task(labels[rows], allowed=np.array([True, True, False])), 1.0)
    assert np.abs(pushed.outer[:, 2]).max() == 0
    assert np.abs(pushed.outer_bias[2]) < 1e-6


# --- calibration, combination, inertia -------------------------------------------------------------------------------


def pooled(x: np.ndarray, labels: np.ndarray) -> emotion.Pool:
    count = len(labels)
    return emotion.Pool(
        x, task(labels), np.array(["a", "b"])[np.arange(count) % 2], np.array([str(n // 3) for n in range(count)]),
        np.arange(count) >= count - 30, np.full(count, -1),
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
    networks = emotion.unseen_networks(pool, emotion.fit_strength(100.0), folds)
    seen = networks[-1].logits(x)[~pool.held].argmax(axis=1) == labels[~pool.held]
    unseen = emotion.unseen_logits(networks, x, folds)[~pool.held].argmax(axis=1) == labels[~pool.held]
    assert seen.mean() > 0.95, "noise can be learnt by heart"
    assert unseen.mean() < 0.5, "but not guessed"


def test_the_weights_of_pairs_are_found_again() -> None:
    chance = np.random.default_rng(4)
    allowed = np.ones(len(EMOTIONS), np.bool_)
    voice, face = (np.log(softmax(2 * chance.standard_normal((6_000, 8)))) for _ in range(2))
    shares = softmax(0.5 * voice + 1.2 * face)
    truth = np.eye(8, dtype=np.float32)[[chance.choice(8, p=row / row.sum()) for row in shares.astype(np.float64)]]
    pairs = combine.Pairs(voice, face, truth, allowed, np.arange(6_000) >= 5_000)
    found = combine.weigh(pairs)
    assert (found.voice, found.face) == pytest.approx((0.5, 1.2), abs=0.08)
    rows = {row.modalities: row.score.accuracy for row in combine.rows("x", "y", pairs, found)}
    assert rows["audio+video"] > max(rows["audio"], rows["video"])


def test_what_lasts_is_learned_and_carried() -> None:
    chance = np.random.default_rng(5)
    states = [0]
    for _ in range(3_000):
        states.append(states[-1] if chance.random() < 0.9 else int(chance.integers(0, 8)))
    labels = np.array(states)
    logits = (1.0 * np.eye(8)[labels] + chance.standard_normal((len(labels), 8))).astype(np.float32)
    previous = np.arange(-1, len(labels) - 1)
    pool = emotion.Pool(
        logits, task(labels, 8), np.full(len(labels), "a"), np.full(len(labels), "g"),
        np.zeros(len(labels), np.bool_), previous,
    )  # fmt: skip
    learned, shift = inertia.fit_inertia(logits, pool)
    assert np.diag(learned).mean() > learned[~np.eye(8, dtype=bool)].mean() + 0.5
    alone = (logits.argmax(axis=1) == labels).mean()
    carried = inertia.carried(logits, previous, learned, shift)
    assert (carried.argmax(axis=1) == labels).mean() > alone + 0.1


# --- metrics ---------------------------------------------------------------------------------------------------------


def test_scores_stand_beside_the_training_part_s_majority() -> None:
    truth, known = np.array([0, 0, 1, 1]), np.array([1, 1, 0])
    shares = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.1, 0.2, 0.7]], np.float32)
    found = score(shares, truth, known, np.array([True, True, False]))
    assert (found.n, found.accuracy, found.majority_accuracy) == (4, 0.75, 0.5)
    assert found.macro_f1 == pytest.approx((2 / 3 + 4 / 5) / 2), "the third label is not the corpus'"
    assert found.majority_macro_f1 == pytest.approx(1 / 3)


# --- the graph -------------------------------------------------------------------------------------------------------


def linear(chance: np.random.Generator, width: int, size: int) -> Network:
    slopes, bias = chance.standard_normal((width, size)) / 10, chance.standard_normal(size)
    return Network(None, None, slopes.astype(np.float32), bias.astype(np.float32))


@pytest.fixture(scope="module")
def parameters() -> Parameters:
    chance = np.random.default_rng(6)
    hidden = Network(
        chance.standard_normal((384, 9)).astype(np.float32), np.zeros(9, np.float32),
        chance.standard_normal((9, 8)).astype(np.float32), np.zeros(8, np.float32),
    )  # fmt: skip
    sizes = {name: len(labels) for name, labels in support.LEARNED}
    return Parameters(
        text=hidden,
        audio=emotion.closed(linear(chance, 768, 8), ("depression",)),
        video=emotion.closed(linear(chance, 512, 8), ("depression",)),
        bounds=tuple(np.stack([np.full(d, -2.0), np.full(d, 2.0)]).astype(np.float32) for d in (768, 512)),  # type: ignore[arg-type]
        temperatures=np.array([1.0, 2.0, 3.0], np.float32),
        weights=chance.random((MASKS, 3)).astype(np.float32) + 0.5,
        offsets=chance.standard_normal((MASKS, 8)).astype(np.float32),
        inertia=chance.standard_normal((8, 8)).astype(np.float32),
        shift=chance.standard_normal(8).astype(np.float32),
        support=support.Support(
            {name: linear(chance, 384 + support.CONTEXT, size) for name, size in sizes.items()},
            {name: linear(chance, support.CONTEXT, size) for name, size in sizes.items()},
            np.log(np.full(8, 1 / 8, np.float32)),
            support.Intensity(chance.standard_normal(384).astype(np.float32) / 20, 0.5, 0.4),
        ),
        arousal=linear(chance, 768, 2),
    )


@pytest.fixture(scope="module")
def fusion(parameters: Parameters, tmp_path_factory: pytest.TempPathFactory) -> Fusion:
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    build(parameters).save(path)
    return Fusion(open_graph(path))


def formula(parameters: Parameters, history: np.ndarray, vectors: dict[str, np.ndarray]) -> np.ndarray:
    """The fused emotion by the formula of `Parameters`, for one utterance."""
    mask = sum(1 << place for place, name in enumerate(("text", "audio", "video")) if name in vectors)
    total = parameters.offsets[mask].astype(np.float64)
    heads = {"text": parameters.text, "audio": parameters.audio, "video": parameters.video}
    for place, (name, head) in enumerate(heads.items()):
        if name not in vectors:
            continue
        x = vectors[name]
        if place:
            x = np.clip(x, *parameters.bounds[place - 1])
        log = np.log(softmax(head.logits(x[None])[0] / parameters.temperatures[place]).astype(np.float64) + 1e-38)
        if place:
            log[DEPRESSION] = log[SADNESS]
        total = total + parameters.weights[mask, place] * log
    total = total + history[:8] @ parameters.inertia + history[-1] * parameters.shift
    return softmax(total)


def test_the_graph_is_the_formula_for_every_mask(parameters: Parameters, fusion: Fusion) -> None:
    chance = np.random.default_rng(7)
    every = {
        name: (2 * chance.standard_normal(d)).astype(np.float32)
        for name, d in (("text", 384), ("audio", 768), ("video", 512))
    }
    every["text"] /= np.linalg.norm(every["text"])
    told = np.concatenate([chance.dirichlet(np.ones(8)), np.eye(10)[2], [0.15, 1.0]]).astype(np.float32)
    for mask in range(MASKS):
        vectors = {name: every[name] for place, name in enumerate(every) if mask >> place & 1}
        for history in (np.zeros(SIZE, np.float32), told):
            found = fusion(history[None], **{name: x[None] for name, x in vectors.items()})
            assert found["emotion"][0] == pytest.approx(formula(parameters, history, vectors), abs=1e-4)
            for name, labels in OUTPUTS:
                assert found[name].shape == (1, len(labels))
                assert found[name].sum() == pytest.approx(1, abs=1e-5)
            context = support.context_of(found["emotion"], history[None])
            heads = parameters.support
            if "text" in vectors:
                logits = heads.worded["stage"].logits(np.concatenate([vectors["text"][None], context], axis=1))
                said = vectors["text"] @ heads.intensity.slopes + heads.intensity.bias
                assert found["intensity"][0, 0] == pytest.approx(np.clip(said, 0, 1), abs=1e-4)
            else:
                logits = heads.wordless["stage"].logits(context)
            assert found["stage"] == pytest.approx(softmax(logits), abs=1e-4)


def test_one_broken_number_does_not_decide(fusion: Fusion) -> None:
    audio = np.zeros((1, 768), np.float32)
    whole = fusion(audio=audio)["emotion"]
    for broken in (np.nan, np.inf, -np.inf, 1e30):
        audio[0, 5] = broken
        assert fusion(audio=audio)["emotion"] == pytest.approx(whole, abs=1e-6)


def test_the_graph_is_the_same_file_each_time(parameters: Parameters, tmp_path: Path) -> None:
    for name in ("one", "other"):
        build(parameters).save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_turns_in_order_are_told_of_the_one_before(fusion: Fusion) -> None:
    chance = np.random.default_rng(8)
    words = chance.standard_normal((5, 384)).astype(np.float32) / 20
    previous = np.array([-1, 0, 1, -1, 3])
    found = in_order(fusion, words, previous, np.arange(5))
    for number in range(5):
        history = np.zeros((1, SIZE), np.float32)
        if previous[number] >= 0:
            history[0, :8], history[0, -1] = found[previous[number]], 1
        assert found[number] == pytest.approx(fusion(history, text=words[number : number + 1])["emotion"][0], abs=1e-6)


def test_a_hidden_fit_follows_its_recipe() -> None:
    x, labels = blobs()
    assert fit_hidden(x, task(labels), Recipe(hidden=7, epochs=1), 0).inner.shape == (4, 7)  # type: ignore[union-attr]
