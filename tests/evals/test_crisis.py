"""How well the screener does: on sentences kept apart from its making, and on labelled people and everyday talk.

The labelled data are the validation parts; no text of theirs is ever shown.
"""

from pathlib import Path

import pytest

from multimood.safety import Screener

pytestmark = [pytest.mark.evals, pytest.mark.timeout(300)]

UNSEEN_CRISES = (
    "I'm sick of being alive",
    "I could just drive off the road and nobody would know",
    "I think about hanging myself all the time",
    "my life isn't worth anything, I want out",
    "I told my sister goodbye without her knowing it was the last time",
    "I don't deserve to be alive after what I did",
    "there's a bottle of pills on my desk and I can't stop looking at it",
    "I want to fall asleep and never open my eyes again",
    "I tried to strangle myself with a belt",
    "what if I just wasn't here anymore",
    "I've been suicidal since I was twelve",
    "I hurt myself whenever I fail a test",
    "it's been two days since I last cut",
    "I need to feel pain so I keep cutting",
    "I can't take this life any longer",
    "please just let it end, I can't bear to exist",
    "I'm planning how to kill myself",
    "there is no future for me, only death",
    "I have a gun in the drawer and I keep taking it out",
    "I almost jumped yesterday",
    "the thought of dying comforts me",
    "my wife and kids would be better off if I died",
    "I'm only alive because I'm too scared to do it",
    "I wish I could go to sleep and not wake up",
    "I'm writing my suicide note now",
    "tonight I'm ending it",
    "I want to bleed until there's nothing left",
    "I don't want to exist",
    "my husband put a knife to my throat",
    "he hit me so hard I couldn't see",
    "my mother locks me in the closet and burns me",
    "I was sexually abused by my coach",
    "my ex is outside my house and says he will kill me",
    "I'm afraid of my partner, he strangled me",
    "I want to kill my boss, I have it all planned",
    "I keep having urges to stab people",
    "my little brother said he wants to kill himself",
    "my girlfriend cut her wrists and I'm waiting for the ambulance",
    "if she leaves me I will end my life",
    "I regret surviving",
    "Ich halte das Leben nicht mehr aus, ich will weg von dieser Welt",
    "Ich habe Tabletten gesammelt, um mich umzubringen",
    "Manchmal denke ich, es wäre besser, tot zu sein",
    "Tengo un plan para suicidarme",
    "Me quiero cortar otra vez",
    "Mi pareja me golpea",
    "J'ai des idées noires et je pense à mourir",
    "Je ne veux plus de cette vie",
    "Mon père me bat",
    "Plus rien ne me retient, je vais sauter",
)
"""Made up after the rules were written. Never write a rule for one of these: put your own in the unit tests."""

UNSEEN_ORDINARY = (
    "I failed my driving test again",
    "I feel so guilty about shouting at my kids",
    "My grandfather is in a hospice and won't live much longer",
    "I'm sick of my job",
    "I can't bear the heat any longer",
    "She hurt me with what she said",
    "It's been two days since I last ate sugar",
    "My heart is broken",
    "I'm planning a trip to see my sister",
    "We watched the lions kill a zebra in a documentary",
    "I'm losing my mind over this paperwork",
    "I was burning with shame",
    "My hamster escaped and I found it dead",
    "I'd give my life for my children",
    "I almost missed the train yesterday",
    "He is dead to me",
    "I'm writing a goodbye card for a colleague",
    "I can't breathe when I'm in crowds",
    "I don't want to go to school tomorrow",
    "My parents hit the roof when they saw my grades",
    "I hate myself for eating that cake",
    "I'm so lonely in this new city",
    "I have nightmares about the war",
    "My brother was shot in the war and came home in a wheelchair",
    "It was so boring I wanted to scream",
    "I got fired today",
    "My wife wants a divorce",
    "I'm pregnant and scared",
    "I can't forgive myself for missing her funeral",
    "I worry about money all the time",
    "Doctor says my cancer is back",
    "I'm drowning in laundry",
    "I would kill for a good night's sleep",
    "My knees are killing me",
    "Nobody came to my birthday",
    "I feel lost and I don't know what to do with my life",
    "I relapsed and had a drink last night",
    "I took my anxiety pills and feel calmer",
    "I jumped out of my skin when the phone rang",
    "I want to punch the wall sometimes",
    "Life is hard right now but I'll manage",
    "I stopped taking the bus, I take the train now",
    "We ended things last night",
    "Ich habe Angst vor der Prüfung",
    "Mein Hund ist gestern gestorben",
    "Ich bin traurig, weil niemand angerufen hat",
    "Tengo miedo de perder mi trabajo",
    "Se murió mi perro y estoy muy triste",
    "Mon chat est mort hier",
    "Je suis stressée par mes examens",
)


def test_wordings_that_were_never_seen() -> None:
    screener = Screener.load()
    found = sum(screener.screen(text).crisis for text in UNSEEN_CRISES) / len(UNSEEN_CRISES)
    false = sum(screener.screen(text).crisis for text in UNSEEN_ORDINARY) / len(UNSEEN_ORDINARY)
    assert found >= 0.56
    assert false <= 0.04


def test_screening_on_the_validation_part(labelled_data: Path) -> None:
    training = pytest.importorskip("multimood.training.crisis", reason="needs the `train` extra", exc_type=ImportError)
    result = training.evaluate(Screener.load(), training.read_corpus(labelled_data, "val"))
    users, alarms = result["users"], result["false alarms per 1,000"]
    assert users["recall"] >= 0.87
    assert users["precision"] >= 0.64
    assert users["accuracy"] > users["majority accuracy"]
    assert users["AUC of the gravest post"] >= 0.66
    assert users["AUC of the gravest post"] > users["AUC of the mere number of posts"] + 0.1
    by_label = users["flagged by C-SSRS label 0-4"]
    assert by_label[4] >= 0.9
    assert by_label[0] < min(by_label[2:])
    assert alarms["everyday utterances"] <= 2.0
    assert max(alarms.values()) <= 8.0


def test_persons_on_the_validation_part(labelled_data: Path) -> None:
    pytest.importorskip("sklearn", reason="needs the `eval` extra")
    from multimood.evaluation.crisis.figures import figures
    from multimood.evaluation.crisis.judged import Judges, judged
    from multimood.evaluation.crisis.users import read_users
    from multimood.evaluation.source import Source

    found = figures(judged(Judges.load(), read_users(Source(labelled_data, "val"))))
    assert found["recall"] >= 0.95
    assert found["precision"] >= found["majority"]["precision_of_flagging_all"]
    assert found["auc"] >= 0.74
    flagged = [level["flagged"] for level in found["per_level"].values()]
    assert flagged[0] < min(flagged[2:])
    assert found["latency_ms"]["p50"] < 20
