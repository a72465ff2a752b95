"""Action units relative to a person's own face, the rule beside the voice, their file, and how evaluation uses them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from multimood.errors import ConfigurationError
from multimood.evaluation import faces
from multimood.evaluation.rows import FaceEvidence, Seen
from multimood.taxonomy import CORPUS_EMOTIONS, EMOTIONS
from multimood.training.heads import Network, softmax
from multimood.training.runs import Run
from multimood.training.trials import Trials
from multimood.training.video import takes as training
from multimood.training.video.face import Face, read_face, write_face
from multimood.training.video.pictures import every_size, first_seen
from multimood.training.video.rule import Rule, fit_rule
from multimood.training.video.takes import Takes, Unseen, Way, fit_units, learn_units, orders_of, read_takes
from multimood.training.video.units import Baseline, UnitsHead, Usual, relative, tempered, usual_of

pytestmark = pytest.mark.unit

KNOWN = [EMOTIONS.index(name) for name in CORPUS_EMOTIONS["ravdess"]]
NAMES = tuple(f"AU{number:02}_r" for number in range(10))


def invented(people: int = 8, each: int = 4) -> Takes:
    """Emotions each on an axis, and on every person's face an offset that is wider than what emotions do."""
    chance = np.random.default_rng(0)
    labels = np.tile(np.repeat(KNOWN, each), people)
    person = np.repeat(np.arange(people), each * len(KNOWN))
    units = chance.normal(0, 1.5, (people, len(NAMES)))[person] + chance.normal(0, 0.3, (len(labels), len(NAMES)))
    units[np.arange(len(labels)), labels] += 1.5
    shares = softmax(chance.standard_normal((len(labels), 8)))
    names = np.array([f"p{one}" for one in person])
    paths = tuple(str(number) for number in range(len(labels)))
    return Takes(NAMES, units.astype(np.float32), shares, paths, labels, names, person == 0)


def a_face(takes: Takes | None = None) -> Face:
    chance = np.random.default_rng(1)
    units = fit_units(takes or invented(), Way(5.0, 0.1), 0)
    deep = Network(*(chance.standard_normal(shape).astype(np.float32) for shape in ((512, 4), (4,), (4, 8), (8,))))
    bounds = np.stack([np.full(512, -1), np.full(512, 1)]).astype(np.float32)
    return Face(deep, bounds, 1.5, units, Rule(0.7, 0.9, 1.0, 1.1), Rule(0.5, 0.4, 1.0, 0.9))


# --- what is usual of a person ---------------------------------------------------------------------------------------


def test_the_first_take_is_compared_with_people_in_general_a_late_one_with_the_person() -> None:
    usual = Usual(np.array([1.0], np.float32), np.array([0.5], np.float32), 4.0)
    baseline = Baseline(usual)
    first = baseline.look(np.array([2.0], np.float32))
    mean = (4 * 1 + 2) / 5
    deviation = np.sqrt((4 * (0.25 + 1) + 4) / 5 - mean**2)
    assert first == pytest.approx([(2 - mean) / deviation])
    for value in np.tile([4.0, 6.0], 500):
        baseline.look(np.array([value], np.float32))
    assert baseline.look(np.array([6.0], np.float32)) == pytest.approx([1.0], abs=0.05)


def test_what_comes_later_is_not_known_and_others_do_not_count() -> None:
    takes = invented()
    people, order = list(takes.people), np.random.default_rng(2).permutation(len(takes.labels))
    usual = usual_of(takes.units, takes.people, 5.0)
    before = relative(takes.units, people, order, usual)
    half = order[len(order) // 2 :]
    changed = takes.units.copy()
    changed[half] += 3
    after = relative(changed, people, order, usual)
    assert np.array_equal(np.delete(before, half, axis=0), np.delete(after, half, axis=0))
    other = takes.units.copy()
    other[takes.people == "p1"] += 3
    theirs = takes.people != "p1"
    assert np.array_equal(before[theirs], relative(other, people, order, usual)[theirs])


def test_far_values_are_not_believed() -> None:
    usual = Usual(np.zeros(1, np.float32), np.ones(1, np.float32), 100.0)
    assert Baseline(usual).look(np.array([1e4], np.float32)) == pytest.approx([4.0])


# --- training ---------------------------------------------------------------------------------------------------------


def test_orders_have_every_take_once_and_every_other_one_is_in_stretches() -> None:
    takes = invented(2)
    free, stretched = orders_of(takes, 2, np.random.default_rng(0))
    assert sorted(free) == sorted(stretched) == list(range(len(takes.labels)))
    changes = [int((np.diff(takes.labels[order]) != 0).sum()) for order in (free, stretched)]
    assert changes[1] == len(KNOWN) - 1 < changes[0]


def test_people_who_were_not_seen_are_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "TAKES", (3.0, 10.0))
    monkeypatch.setattr(training, "STRENGTHS", (0.1,))
    monkeypatch.setattr(training, "HIDDEN", ())
    takes = invented()
    head, way, unseen = learn_units(takes.rows(~takes.held), 0, Trials(Run(tmp_path, {})))
    assert way.takes in {3.0, 10.0}
    assert unseen.shape == (training.ORDERS, (~takes.held).sum(), 8)
    held = takes.rows(takes.held)
    seen = relative(held.units, list(held.people), orders_of(held, 1, np.random.default_rng(3))[0], head.usual)
    assert (head.network.logits(seen).argmax(axis=1) == held.labels).mean() > 0.6
    assert head.shares(seen[0])[EMOTIONS.index("depression")] < 1e-6


def test_logits_of_a_person_do_not_depend_on_their_own_labels() -> None:
    takes = invented(4, 2)
    one = takes.people == "p1"
    way = Way(5.0, 0.1)
    unseen = Unseen(takes, 0)
    before = unseen.logits(way)
    unseen._takes = replace(takes, labels=np.where(one, KNOWN[0], takes.labels))
    after = unseen.logits(way)
    assert np.array_equal(before[:, one], after[:, one])
    assert not np.array_equal(before, after)


def test_a_hidden_layer_can_be_had() -> None:
    assert fit_units(invented(2, 2), Way(5.0, 0, 8), 0).network.inner is not None


def test_the_rule_trusts_who_is_right() -> None:
    chance = np.random.default_rng(4)
    labels = chance.integers(0, 3, 2_000)
    good, noise = (softmax(chance.standard_normal((2_000, 3)) + one * np.eye(3)[labels]) for one in (2.0, 0.0))
    rule = fit_rule(good, noise, labels)
    assert rule.voice > 0.5 > abs(rule.face)
    assert abs(rule.face_alone) < 0.2
    assert rule.both(good, noise).sum(axis=1) == pytest.approx(np.ones(2_000), abs=1e-5)


def test_pairs_without_action_units_are_refused(tmp_path: Path) -> None:
    (tmp_path / "av").mkdir()
    (tmp_path / "av" / "ravdess_paired.csv").write_text("audio_path,label\na.flac,joy\n")
    with pytest.raises(ConfigurationError, match=r"AU\*"):
        read_takes(tmp_path)


def test_a_face_that_was_found_at_two_sizes_counts_once() -> None:
    from multimood.training.fusion.corpora import Samples

    samples = Samples("fer2013", ("a", "b", "c"), np.array(KNOWN[:3]), np.array(["a", "b", "c"]),
                      np.zeros(3, np.bool_))  # fmt: skip
    seen = np.full((2, 3, 4), np.nan, np.float32)
    seen[0, 0], seen[1, 0], seen[1, 1] = 1, 2, 3
    pool = every_size(samples, seen)
    assert list(pool.groups) == ["a", "a", "b"]
    assert pool.task.weights == pytest.approx([0.5, 0.5, 1])
    first, found = first_seen(seen)
    assert list(found) == [True, True, False]
    assert first[:2, 0] == pytest.approx([1, 3])


# --- the file ---------------------------------------------------------------------------------------------------------


def test_the_file_gives_back_what_was_learned(tmp_path: Path) -> None:
    face = a_face()
    write_face(tmp_path / "face.npz", face)
    read = read_face(tmp_path / "face.npz")
    x = np.random.default_rng(5).standard_normal((3, 512)).astype(np.float32)
    assert np.array_equal(read.logits(x), face.logits(x))
    assert read.units.names == NAMES
    assert read.units.usual.takes == 5.0
    assert read.rule.voice == pytest.approx(0.7)
    assert read.rule_of_shares.face == pytest.approx(0.4)
    assert np.array_equal(read.units.shares(np.zeros(10, np.float32)), face.units.shares(np.zeros(10, np.float32)))


def test_what_is_no_face_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "face.npz"
    path.write_bytes(b"no archive")
    with pytest.raises(ConfigurationError, match="multimood train video"):
        read_face(path)
    write_face(path, a_face())
    with np.load(path) as arrays:
        kept = dict(arrays)
    for name, value in (("mean", np.zeros(3)), ("bounds", np.zeros((2, 3))), ("temperature", np.float32(0)),
                        ("rule", np.zeros(3)), ("units_outer", np.zeros((10, 7))), ("takes", np.float32(0)),
                        ("emotion_inner", np.zeros((5, 4)))):  # fmt: skip
        np.savez(path, **{**kept, name: value})
        with pytest.raises(ConfigurationError, match="holds no heads of faces"):
            read_face(path)


def test_the_shipped_heads_can_be_read() -> None:
    face = read_face()
    assert len(face.units.names) == 35
    assert face.version.startswith("face-")
    assert face.logits(np.zeros((1, 512), np.float32)).shape == (1, 8)


# --- evaluation -------------------------------------------------------------------------------------------------------


def taken(takes: Takes, number: int) -> Seen:
    units = {name: float(value) for name, value in zip(NAMES, takes.units[number].clip(0) ** 2, strict=True)}
    even = dict.fromkeys(EMOTIONS, 1 / 8)
    return Seen(speaker=str(takes.people[number]), face=FaceEvidence(even, units))


def test_evaluation_looks_at_each_speaker_s_takes_in_order_and_knows_nothing_of_later_ones() -> None:
    takes = invented(3, 2)
    head = fit_units(takes, Way(5.0, 0.1), 0)
    dialogues = [(taken(takes, number),) for number in (0, 20, 1, 21, 2)]
    found = faces.look(dialogues, head)
    assert all(seen.face is not None and seen.face.is_ours for (seen,) in found)
    assert faces.look(dialogues[:3], head) == found[:3]
    alone = faces.look(dialogues[::2], head)
    assert alone == found[::2], "another speaker's takes do not count"
    again = faces.look([dialogues[2]], head)[0][0].face
    assert again is not None
    assert again != found[2][0].face, "the take before was remembered"
    (third,) = found[4]
    assert third.face is not None
    usual = relative(tempered(takes.units.clip(0) ** 2), list(takes.people), np.array([0, 20, 1, 21, 2]), head.usual)
    assert list(third.face.shares.values()) == pytest.approx(head.shares(usual[2]), abs=1e-5)


def test_without_all_units_others_shares_stay() -> None:
    takes = invented(2, 2)
    head: UnitsHead = fit_units(takes, Way(5.0, 0.1), 0)
    whole = taken(takes, 0)
    assert whole.face is not None
    less = replace(whole, face=FaceEvidence(whole.face.shares, {NAMES[0]: 1.0}))
    none = replace(whole, face=FaceEvidence(whole.face.shares))
    assert faces.look([(less, none, Seen(text="words"))], head) == [(less, none, Seen(text="words"))]
