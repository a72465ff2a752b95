"""The shipped rules, sentence by sentence. All sentences were made up for this table."""

# ruff: noqa: RUF001 - look-alike letters are what is tested

import pytest

from multimood.safety import Screener, rank

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def screener() -> Screener:
    return Screener.load()


CRISIS = [
    "I want to die",
    "i wanna die so bad",
    "I just want to die.",
    "I'm thinking about killing myself",
    "I have been having suicidal thoughts for weeks",
    "I wish I was dead",
    "I wish I'd never been born",
    "Everyone would be better off without me",
    "I don't want to live anymore",
    "There is no reason to keep going, nothing left to live for",
    "I'm so tired of living",
    "I might end it all",
    "I'm going to take my own life",
    "I tried to kill myself last year",
    "I've been cutting myself again",
    "I want to hurt myself",
    "I relapsed and started self-harming",
    "kms",
    "I want to unalive myself",
    "I keep thinking about jumping off the bridge",
    "I wrote my goodbye letters yesterday",
    "what is the most painless way to die",
    "I hope I don't wake up tomorrow",
    "No one would care if I died",
    "my husband beats me every night",
    "My boyfriend choked me and I am afraid he will kill me",
    "I was raped at the party",
    "he threatened to kill me if I leave",
    "the voices tell me to kill",
    "my brother says he wants to kill himself",
    "My best friend is suicidal and I don't know what to do",
    "I'm not gonna lie, I want to die",
    "I can't stop thinking about killing myself",
    "I'm not sure if I want to kill myself",
    'I keep telling myself "I want to die"',
    "I'm fine. Never mind. I want to kill myself.",
    # German, Spanish, French, on a platform set to English
    "Ich will nicht mehr leben",
    "Ich möchte sterben",
    "ich denke daran mich umzubringen",
    "Ich ritze mich wieder",
    "Mein Freund schlägt mich",
    "Ich wünschte, ich wäre tot",
    "Quiero morirme",
    "Ya no quiero vivir",
    "me quiero matar",
    "He pensado en quitarme la vida",
    "mi marido me pega",
    "Todos estarían mejor sin mí",
    "Je veux mourir",
    "J'ai envie d'en finir",
    "je n'ai plus envie de vivre",
    "Je pense à me suicider",
    "mon copain me frappe",
    "je me scarifie depuis un an",
]

IMMINENT = [
    "I'm going to kill myself tonight",
    "I have the pills next to me and I want to end my life",
    "I just swallowed a whole bottle of pills",
    "I am about to jump off",
    "goodbye everyone, I want to die and I have a gun",
    "I cut my wrists",
    "Ich bringe mich heute Nacht um",
    "me voy a matar esta noche",
    "je vais me tuer ce soir",
]

ORDINARY = [
    "this deadline is killing me",
    "I'm dying to see you",
    "I was dying of laughter",
    "That cake is to die for",
    "we had some time to kill before the train",
    "My phone is about to die",
    "I am dead tired after that shift",
    "I cut myself shaving this morning",
    "I don't want to live in Ohio anymore",
    "Let's watch Suicide Squad tonight",
    "he hit me up on Instagram",
    "I had to jump rope for an hour",
    "I feel sad and lonely since we moved",
    "My mother died last spring and I miss her",
    "I'm so stressed about my exam tomorrow",
    "I shot myself in the foot with that email",
    "I hung the picture myself",
    "It was a dead end job, so I quit",
    "What time does the show start?",
    "He beats me at chess every time",
    "",
    "   \n\t ",
    "👍",
    "Ich sterbe vor Hunger",
    "Heute habe ich mich mit meiner Schwester gestritten",
    "Ich bin so müde von der Arbeit",
    "Sie schlägt mich immer im Schach",
    "Me muero de risa",
    "Estoy muy triste porque perdí mi trabajo",
    "tengo que cortarme el pelo",
    "Je suis mort de rire",
    "J'ai passé une mauvaise journée au travail",
    "je dois me couper les cheveux",
]

SPOKEN_OF = [
    "I am not going to kill myself",
    "I would never hurt myself",
    "I don't want to die",
    "I'm not suicidal",
    "My uncle committed suicide when I was ten",
    "my brother killed himself last year",
    "I used to want to die",
    'There is a song with the line "I want to kill myself"',
    "do you want to die",
    "Ich will mich nicht umbringen",
    "No quiero matarme",
    "Je ne veux pas mourir",
]

DISGUISED = [
    "i want to k1ll myself",
    "k!ll myself",
    "I want to k*ll myself",
    "k i l l m y s e l f",
    "K.I.L.L. myself",
    "i want to d1e",
    "su1c1dal thoughts all day",
    "I wa\u200bnt to d\u200bie",
    "\uff29 \uff57\uff41\uff4e\uff54 \uff54\uff4f \uff44\uff49\uff45",
    "I want to d\u0456\u0435",
    "I WANT TO DIE!!!",
    "kiiillll myself",
    "i want... to... die",
    "I wánt tö díe",
    "i want to\ndie",
    "#wanttodie",
    "𝐈 𝐰𝐚𝐧𝐭 𝐭𝐨 𝐝𝐢𝐞",
    "I\u00adwant to kill my\u00adself",
    "$uicidal thoughts, i feel $uicidal",
]


@pytest.mark.parametrize("text", CRISIS + DISGUISED)
def test_crisis_language_is_a_crisis(screener: Screener, text: str) -> None:
    assert screener.screen(text).crisis


@pytest.mark.parametrize("text", IMMINENT)
def test_plan_means_or_time_make_it_imminent(screener: Screener, text: str) -> None:
    assert screener.screen(text).level == "imminent"


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_talk_is_no_crisis(screener: Screener, text: str) -> None:
    assert rank(screener.screen(text).level) < rank("elevated")


@pytest.mark.parametrize("text", SPOKEN_OF)
def test_negated_past_or_others_is_low(screener: Screener, text: str) -> None:
    verdict = screener.screen(text)
    assert verdict.level == "low"
    assert verdict.rules


def test_a_report_of_someone_elses_words_is_elevated_not_imminent(screener: Screener) -> None:
    verdict = screener.screen('he texted "I will kill myself tonight"')
    assert verdict.level == "elevated"
    assert any(rule.startswith("reported:") for rule in verdict.rules)


def test_the_verdict_names_rules_and_never_words(screener: Screener) -> None:
    verdict = screener.screen("zebra umbrella: I want to die")
    assert "en.suicide.wish" in verdict.rules
    assert "zebra" not in repr(verdict)
    assert "die" not in repr(verdict.rules)


def test_any_locale_searches_all_languages(screener: Screener) -> None:
    for locale in ("en", "de-AT", "zh", "", "nonsense"):
        assert screener.screen("je veux mourir", locale).crisis


def test_an_idiom_at_a_sentence_s_end_takes_the_meaning_too() -> None:
    screener = Screener.load()
    for text in ("I am dead tired", "I am dead tired.", "The funeral is on Monday. I am dead tired! Good night."):
        assert not screener.screen(text).crisis, text
    assert screener.screen("I am dead tired. I want to die.").crisis
