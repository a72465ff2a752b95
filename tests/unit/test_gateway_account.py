"""What `multimood talk` prints of a turn, and how it fails."""

import io
import json
import re
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from multimood.cli.account import TurnAccount
from multimood.cli.show import TurnScreen
from multimood.cli.talk import talk
from multimood.client import TurnInput
from multimood.contracts.v1 import events_pb2 as pb
from multimood.contracts.v1 import gateway_pb2 as gw
from multimood.taxonomy import CRITERIA

pytestmark = pytest.mark.unit

app = typer.Typer()
app.command()(talk)
runner = CliRunner()


def p(**labels: float) -> list[pb.Probability]:
    return [pb.Probability(label=label, p=value) for label, value in labels.items()]


def hop(service: str, start_ms: int, end_ms: int) -> pb.Hop:
    return pb.Hop(service=service, received_at_us=start_ms * 1000, produced_at_us=end_ms * 1000)


def decision(**changes: object) -> pb.Decision:
    fields: dict[str, object] = {
        "user_emotion": p(sadness=0.7, fear=0.3), "intensity": 0.5, "stage": "exploration",
        "strategy": p(approval=0.25, restatement=0.75), "chosen": "approval", "propensity": 0.25,
        "system_emotion": p(neutral=1.0), "manifest": [pb.MODALITY_AUDIO, pb.MODALITY_VIDEO],
        "modality_emotions": [pb.ModalityEmotion(modality=pb.MODALITY_AUDIO, emotion=p(sadness=1.0))],
        "missing": [pb.MissingModality(modality=pb.MODALITY_VIDEO, reason=pb.MISSING_REASON_NO_FACE)],
        "hops": [hop("gateway", 0, 5), hop("audio_encoder", 5, 25), hop("audio_encoder", 5, 105)], **changes,
    }  # fmt: skip
    return pb.Decision(**fields)


def account_of(*responses: gw.ConverseResponse, **turn: object) -> TurnAccount:
    account = TurnAccount.of(TurnInput("c", **{"audio": b"x", "video": b"x", "utterance_id": "u", **turn}))
    for number, response in enumerate(responses):
        account.take(response, 100.0 * (number + 1))
    return account


def test_the_whole_object() -> None:
    account = account_of(
        gw.ConverseResponse(accepted=gw.Accepted(utterance_id="u")),
        gw.ConverseResponse(decision=decision()),
        gw.ConverseResponse(delta=pb.ReplyDelta(text="I ")),
        gw.ConverseResponse(delta=pb.ReplyDelta(text="hear", index=1)),
        gw.ConverseResponse(reply=pb.Reply(text="I hear", hops=[hop("responder", 110, 410), hop("gateway", 0, 5)])),
        gw.ConverseResponse(
            trust=pb.TrustScore(
                scores=[pb.CriterionScore(criterion="safety", score=9.0), pb.CriterionScore(criterion="fairness")],
                reward=0.0,
            )
        ),
    )
    found = json.loads(json.dumps(account.as_json()))
    assert found == {
        "utterance_id": "u",
        "modalities": {
            "audio": {"status": "ok", "reason": None, "emotion": {"sadness": 1.0}},
            "video": {"status": "missing", "reason": "no_face", "emotion": None},
        },
        "decision": {
            "user_emotion": {"sadness": 0.7, "fear": 0.3}, "intensity": 0.5, "stage": "exploration",
            "system_emotion": {"neutral": 1.0}, "strategy": {"approval": 0.25, "restatement": 0.75},
            "chosen": "approval", "propensity": 0.25,
        },
        "reply": "I hear",
        "trust": {**dict.fromkeys(CRITERIA), "safety": 9.0},
        "reward": 0.0,
        "escalation": None,
        "timings_ms": {
            "gateway": 5.0, "audio_encoder": 100.0, "responder": 300.0, "first_token": 300.0, "total": 500.0,
        },
    }  # fmt: skip


def test_text_is_shown_without_being_announced_only_if_a_transcript_gave_it() -> None:
    no_speech = [pb.MissingModality(modality=pb.MODALITY_TEXT, reason=pb.MISSING_REASON_NO_SPEECH)]
    silent = account_of(gw.ConverseResponse(decision=decision(missing=no_speech)))
    assert set(silent.modalities()) == {"audio", "video"}
    film = account_of(gw.ConverseResponse(decision=decision(missing=[])), audio=b"")
    assert set(film.modalities()) == {"video"}
    heard = account_of(gw.ConverseResponse(decision=decision(missing=[])))
    assert set(heard.modalities()) == {"text", "audio", "video"}
    assert set(heard.as_json()["modalities"]) == {"audio", "video"}, "programs get what they announced"
    written = account_of(gw.ConverseResponse(decision=decision(missing=no_speech)), text="hi")
    assert written.modalities()["text"] == {"status": "missing", "reason": "no_speech", "emotion": None}


def test_a_rejected_turn_has_all_fields_and_nothing_in_them() -> None:
    found = account_of(gw.ConverseResponse(rejected=gw.Rejected(stage="joiner", reason="x")), text="hi").as_json()
    assert (found["decision"], found["reply"], found["reward"], found["escalation"]) == (None, None, None, None)
    assert found["trust"] == dict.fromkeys(CRITERIA)
    assert {entry["reason"] for entry in found["modalities"].values()} == {"no_decision"}


def test_an_escalation_is_an_object() -> None:
    raised = pb.Escalation(level=pb.RISK_LEVEL_IMMINENT, raised_at_us=1_700_000_000_123_000, rules=["plan"])
    found = account_of(gw.ConverseResponse(escalation=raised)).as_json()["escalation"]
    assert found == {"level": "imminent", "raised_at": "2023-11-14T22:13:20.123+00:00", "rules": ["plan"]}
    raised.escalation_id, raised.notify = "e-1", "on_call"
    found = account_of(gw.ConverseResponse(escalation=raised)).as_json()["escalation"]
    assert (found["escalation_id"], found["notify"]) == ("e-1", "on_call")
    assert "to on_call, until `multimood escalations ack e-1`" in shown(gw.ConverseResponse(escalation=raised))


def shown(*responses: gw.ConverseResponse) -> str:
    console = Console(width=140, record=True, color_system=None, file=io.StringIO())
    account, screen = account_of(), TurnScreen(console)
    for response in responses:
        screen.part(account, account.take(response, 10.0))
    screen.end(account)
    return console.export_text()


def test_a_reply_is_shown_once_as_it_is_written() -> None:
    text = shown(
        gw.ConverseResponse(decision=decision()),
        gw.ConverseResponse(delta=pb.ReplyDelta(text="I [hear] ")),
        gw.ConverseResponse(delta=pb.ReplyDelta(text="you.")),
        gw.ConverseResponse(reply=pb.Reply(text="I [hear] you.")),
    )
    assert text.count("I [hear] you.") == 1
    for word in ("missing", "no_face", "sadness", "approval", "propensity 0.25", "exploration"):
        assert word in text


def test_a_reply_that_differs_from_its_pieces_is_shown_whole() -> None:
    text = shown(
        gw.ConverseResponse(delta=pb.ReplyDelta(text="I will ")),
        gw.ConverseResponse(reply=pb.Reply(text="Something else.", source=pb.REPLY_SOURCE_VETTED_FALLBACK)),
    )
    assert re.search(r"I will\s*\n", text)
    assert "(vetted reply) Something else." in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--audio", "nowhere.wav"], "nowhere.wav"),
        (["--video", "."], "directory"),
        (["--text", "  "], "blank"),
        (["--txet", "hi"], "--txet"),
        (["--audio", "empty.wav", "--address", "x:1", "--api-key", "k"], "empty file"),
    ],
)
def test_wrong_arguments_end_with_2_and_say_what_is_wrong(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "dumb")
    Path("empty.wav").touch()
    ended = runner.invoke(app, arguments)
    assert ended.exit_code == 2
    assert message in ended.stderr
    assert ended.stdout == ""


def test_without_a_system_it_says_how_to_start_one(tmp_path: Path) -> None:
    ended = runner.invoke(app, ["--text", "hi", "--json", "--data", str(tmp_path)])
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert "multimood up" in ended.stderr
