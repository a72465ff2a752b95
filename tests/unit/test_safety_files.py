"""The editable files: what they refuse, what they promise, how they are versioned."""

from pathlib import Path

import numpy as np
import pytest

from multimood import assets
from multimood.errors import ConfigurationError
from multimood.safety import Kind, Screener, VettedReplies
from multimood.safety.classifier import Classifier
from multimood.safety.phrase import compile_phrase
from multimood.safety.replies import ASSET, KINDS, NAMES_CONTACTS
from multimood.safety.rules import RuleSet

pytestmark = pytest.mark.unit

REPLIES = VettedReplies.load()

RULES = """
edition = "2031.02"
[sets]
fruit = ["apple", "pear"]
[[rules]]
id = "en.test.fruit"
level = "elevated"
group = "intent"
phrases = ["{eat|bite} ..1 <fruit>"]
"""


def test_an_operator_can_bring_own_rules(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    screener = Screener.load(rules=path)
    assert screener.screen("I eat the pear").rules == ("en.test.fruit",)
    assert not screener.screen("I eat three green pears").crisis
    assert screener.version.startswith("rules-2031.02-")


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (RULES.replace("<fruit>", "<fruits>"), "no set <fruits>"),
        (RULES.replace("elevated", "grave"), "rules.0.level"),
        (RULES.replace("{eat|bite}", "{eat|{bite}}"), "unbalanced or nested"),
        (RULES.replace("..1", "..99"), "at most"),
        (RULES.replace("{eat|bite} ..1", "..1"), "begin with a word"),
        (RULES + RULES[RULES.index("[[rules]]") :], "there twice"),
        (RULES + '[context]\nnegator = ["no"]\n', "unknown lists"),
        (RULES.replace("edition", "editon"), "edition"),
        ("edition = ", "not a TOML file"),
        (RULES + '[[escalations]]\nid="x"\ngroups=["intent","means"]\nlevel="imminent"\n', "names no group"),
    ],
)
def test_broken_rules_are_refused_with_place_and_remedy(tmp_path: Path, broken: str, complaint: str) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(broken)
    with pytest.raises(ConfigurationError, match=complaint):
        RuleSet.load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.toml"):
        Screener.load(rules=tmp_path / "absent.toml")


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04broken"])
def test_weights_that_are_none_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.npz"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="multimood train crisis"):
        Classifier.load(path)


def test_weights_of_a_wrong_shape_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    np.savez(path, weights=np.zeros(1000), bias=0.0, low=0.1, elevated=0.2, edition="2031.01")
    with pytest.raises(ConfigurationError, match=r"\(1000,\)"):
        Classifier.load(path)


def test_a_version_changes_with_every_byte() -> None:
    assert assets.version("rules", "2026.11", b"a") != assets.version("rules", "2026.11", b"b")
    assert assets.version("rules", "2026.11", b"ab", b"c") != assets.version("rules", "2026.11", b"a", b"bc")


def test_phrases_bound_their_own_length() -> None:
    phrase = compile_phrase("{a|b c} ..2 d* [e]", {})
    assert phrase.first == ("a", "b")
    assert phrase.expression.match("a x y dog e ")
    assert phrase.expression.match("b , c d ")
    assert not phrase.expression.match("a x y z d ")
    assert not phrase.expression.match("a x . d "), "a gap does not leave the sentence"


@pytest.mark.parametrize("locale", ["en", "en-US", "en-GB", "de", "de-AT", "es", "es-MX", "fr", "fr-CA"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_locale_has_every_text(locale: str, kind: Kind) -> None:
    texts = REPLIES.all(kind, locale)
    assert [one.id for one in texts[:2]] == [f"{locale.lower()}.{kind}", f"{locale.lower()}.{kind}.2"][: len(texts)]
    for one in texts:
        assert len(one.text) > 100
        assert "{" not in one.text
        assert one.version.startswith("replies-2026.")


@pytest.mark.parametrize(
    ("locale", "number"),
    [
        ("en-US", "988"),
        ("en-GB", "116 123"),
        ("en-AU", "13 11 14"),
        ("de", "0800 111 0 111"),
        ("de-AT", "142"),
        ("es-ES", "024"),
        ("fr", "3114"),
        ("fr_BE", "0800 32 123"),
        ("en-Latn-GB", "116 123"),
        ("xx", "988"),
    ],
)
@pytest.mark.parametrize("kind", NAMES_CONTACTS)
def test_every_text_at_risk_names_the_local_line_and_asks(locale: str, number: str, kind: Kind) -> None:
    for reply in REPLIES.all(kind, locale):
        assert number in reply.text
        assert "?" in reply.text, "it asks about safety, or what helps"


@pytest.mark.parametrize("language", ["en", "de", "es", "fr"])
@pytest.mark.parametrize("kind", NAMES_CONTACTS)
def test_whoever_stays_at_risk_is_told_another_text_each_time(language: str, kind: Kind) -> None:
    texts = REPLIES.all(kind, language)
    told: list[str] = []
    for _ in range(3 * len(texts)):
        told.append(REPLIES.reply(kind, language, told).id)
    assert len(texts) >= 2
    assert told == [one.id for one in texts] * 3


def test_a_text_of_another_kind_or_edition_takes_no_turn() -> None:
    assert REPLIES.reply("escalated", "en", ["en.elevated", "en.escalated.99", "de.escalated"]).id == "en.escalated"
    assert REPLIES.reply("unavailable", "en", ["en.unavailable"]).id == "en.unavailable"


def test_one_text_may_stand_without_a_list(tmp_path: Path) -> None:
    text = "Please talk with a person: {contacts} Is someone with you now?"
    path = tmp_path / "own.toml"
    tables = "\n".join(f'{kind} = "{text}"' for kind in KINDS)
    path.write_text(f'edition = "2026.12"\n[locales.en]\ncontacts = "call 988 at any hour"\n{tables}\n')
    own = VettedReplies.load(path)
    assert {own.reply(kind, "en", ["en.low"]).text for kind in KINDS} == {text.format(contacts="call 988 at any hour")}


@pytest.mark.parametrize(("locale", "wanted"), [("es-419", "es"), ("zh-Hant-TW", "en"), ("", "en"), ("DE_ch", "de-ch")])
def test_the_nearest_locale_answers(locale: str, wanted: str) -> None:
    assert VettedReplies.load().reply("elevated", locale).id == f"{wanted}.elevated"


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ConfigurationError, match="'shrug'"):
        VettedReplies.load().reply("shrug", "en")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("[locales.en]", "[locales.eo]", "locales.en"),
        ("{contacts}", "nobody", "must hold"),
        ("{contacts}", "{contact}", "'{contact}': only"),
        ("{contacts}", "{contacts", "holds '{'"),
        (
            "Thank you for telling me this.",
            "Thank you for telling me this." + " I hear you." * 100,
            "elevated, text 1, has",
        ),
        ("low = [", "low = []\nlower = [", "lower"),
        ("unavailable =", "elsewhere =", "elsewhere"),
    ],
)
def test_incomplete_texts_are_refused(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    path = tmp_path / "replies.toml"
    path.write_text(assets.read(ASSET).decode().replace(old, new))
    with pytest.raises(ConfigurationError, match=complaint):
        VettedReplies.load(path)
