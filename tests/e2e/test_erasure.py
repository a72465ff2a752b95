"""A person is erased from the whole system, and then every byte on its disk is looked at."""

import asyncio
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from every_byte import where
from real_clips import Clips

from multimood import topics
from multimood.cli.account import TurnAccount
from multimood.cli.talk import hold_turn
from multimood.client import Client, TurnInput
from multimood.experience import Bucket, Pseudonyms, rows
from multimood.local.places import checkout
from multimood.local.stack import Stack
from multimood.privacy.pseudonyms import Subject
from multimood.settings import PrivacySettings, PseudonymSettings
from multimood.store import MissingObjectError, Store

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

GONE_WITHIN_S = 120.0
"""The broker of the embedded mode looks for files to delete every 20 seconds."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("erasure")


@pytest.fixture(scope="module")
def system(folder: Path) -> Iterator[Stack]:
    # Patient, so that a busy machine takes no modality away.
    with Stack(folder / "data", env={"MULTIMOOD_JOINER_DEADLINE_S": "60"}) as running:
        yield running


def multimood(system_folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("MULTIMOOD_S3")}
    command = [sys.executable, "-c", "from multimood.cli import app; app()", *argv, "--data", str(system_folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=env, cwd=checkout())


async def hold(system: Stack, turn: TurnInput) -> TurnAccount:
    async with Client(system.gateway, system.api_key) as client:
        return await hold_turn(client, turn, None)


async def warm(system: Stack, clips: Clips) -> None:
    """Wait until every model has answered once: right after the start the first ones may be given up on."""
    async with asyncio.timeout(180):
        while True:
            account = await hold(system, TurnInput("warm", text="Hello.", audio=clips.audio, video=clips.video))
            if {seen["status"] for seen in account.modalities().values()} == {"ok"}:
                return


def marked(sound: bytes, mark: bytes) -> bytes:
    """The sound with a mark in it, in a block that readers pass over."""
    if sound.startswith(b"fLaC"):  # after the first block, which must be the first
        block = b"\x02" + (len(mark) + 4).to_bytes(3, "big") + b"mark" + mark
        return sound[:42] + block + sound[42:]
    data = sound + b"note" + len(mark).to_bytes(4, "little") + mark
    return data[:4] + (len(data) - 8).to_bytes(4, "little") + data[8:]


def logged(system: Stack, data: Path) -> dict[str, dict[str, Any]]:
    """Rows by what the person said last in them; those whose content cannot be read by their row id."""
    with Bucket(system.s3) as bucket:
        opens = bucket.opener(PrivacySettings(master_key=(data / "keys" / "master_key").read_text()))
        found = list(rows(bucket, opens=opens))
    return {row["dialogue"][-1]["text"] if row["dialogue"] else row["row_id"]: row for row in found}


async def media(system: Stack, subject: Subject) -> list[str]:
    store = Store(system.s3)
    try:
        return [one.key for one in await store.list(store.media_bucket, f"{subject.name}/")]
    except MissingObjectError:
        return []
    finally:
        await store.close()


async def test_nothing_of_a_person_is_left_on_the_disk_and_all_of_another_is(  # noqa: PLR0915 - one story
    system: Stack, folder: Path, clips: Clips
) -> None:
    data, exports = folder / "data", folder / "exports"
    canary, other_words = f"canary{secrets.token_hex(8)}", f"robin{secrets.token_hex(8)}"
    mark, shy_mark, label = secrets.token_bytes(48), secrets.token_bytes(48), f"kept.{secrets.token_hex(6)}"
    said = f"I lost my job and I cannot sleep, says {canary}."
    turns = [
        TurnInput("of-a", text=said, subject="a", learning_consent=True, retention_class=label,
                  audio=marked(clips.audio, mark), video=clips.video),
        TurnInput("of-a", text=f"And {canary} is tired.", subject="a", learning_consent=True),
        TurnInput("of-a-too", text=f"Nobody may learn that {canary} weeps.", subject="a",
                  audio=marked(clips.audio, shy_mark)),
        TurnInput("of-b", text=f"My day was good, {other_words}.", subject="b", learning_consent=True,
                  audio=marked(clips.audio, secrets.token_bytes(48))),
    ]  # fmt: skip
    await warm(system, clips)
    for turn in turns:
        account = await hold(system, turn)
        assert account.reply is not None
        reasons = {name: seen["reason"] for name, seen in account.modalities().items()}
        assert set(reasons.values()) == {None}, reasons

    # --- before ---------------------------------------------------------------------------------------------------
    await asyncio.sleep(3)  # a row is written about a second after its score
    pseudonyms = Pseudonyms.of(PseudonymSettings(), system.s3)
    one, other = pseudonyms.person("default", "a"), pseudonyms.person("default", "b")
    before = await asyncio.to_thread(logged, system, data)
    assert said in before
    assert before[said]["content_status"] == "opened"
    assert not any("Nobody may learn" in words for words in before)
    kept = await media(system, one)
    assert {name.split("/")[2] for name in kept} == {f"class={label}"}, "without consent nothing stays once encoded"
    assert len(kept) == 2
    done = await asyncio.to_thread(
        multimood, data, "experience", "export", "--to", "hf", "--content", "--out", str(exports / "hf")
    )
    assert done.returncode == 0, done.stderr
    found = await asyncio.to_thread(where, folder, canary.encode())
    places = {part for name in found for part in Path(name).parts}
    assert any(part.startswith(topics.UTTERANCE.name) for part in places), "in the clear on the broker"
    assert "exports" in places, "compressed in an export"
    assert "store" not in places, "sealed in the store"
    row_id = before[said]["row_id"].encode()
    assert any("store" in Path(name).parts for name in await asyncio.to_thread(where, folder, row_id))
    assert await asyncio.to_thread(where, folder, mark) == [], "sealed before it came to any disk"
    store = Store(system.s3)
    sealed = (await store.read(store.media_bucket, kept[0], limit=64 << 20))[100:148]
    assert await asyncio.to_thread(where, folder, sealed), "the sealed bytes themselves are found"

    # --- erased ---------------------------------------------------------------------------------------------------
    look = await asyncio.to_thread(
        multimood, data, "erase", "--tenant", "default", "--subject", "a", "--dry-run", "--json", "-"
    )
    assert look.returncode == 0, look.stderr
    assert json.loads(look.stdout)["places"]["log"]["found"]["rows"] == 2
    report_file = folder / "report.json"
    erased = await asyncio.to_thread(
        multimood, data, "erase", "--tenant", "default", "--subject", "a", "--exports", str(exports),
        "--by", "the test", "--wait", "180", "--json", str(report_file),
    )  # fmt: skip
    assert erased.returncode == 0, (erased.stdout, erased.stderr)
    assert canary not in erased.stdout + erased.stderr + report_file.read_text()
    report = json.loads(report_file.read_text())
    assert report["complete"]
    assert report["places"]["media"]["removed"]["objects"] == 2
    assert report["places"]["log"]["removed"]["rows"] == 2
    assert report["places"]["exports"]["removed"] == {str(exports / "hf"): 2}
    record = f"audit/erasures/{one.name}/{report['erased_at_us']}.json"
    kept_record = json.loads(await store.read(system.s3.experience_bucket, record, limit=1 << 20))
    assert (kept_record["by"], kept_record["complete"]) == ("the test", True)
    await store.close()

    # --- after ----------------------------------------------------------------------------------------------------
    until = time.monotonic() + GONE_WITHIN_S
    wanted = [canary.encode(), row_id, mark, shy_mark, sealed]
    left = {number: ["not looked yet"] for number in range(len(wanted))}
    while left and time.monotonic() < until:
        left = {number: files for number in left if (files := await asyncio.to_thread(where, folder, wanted[number]))}
        await asyncio.sleep(5 if left else 0)
    assert left == {}
    assert await media(system, one) == []

    after = await asyncio.to_thread(logged, system, data)
    assert not any(row["subject"] == one.pseudonym for row in after.values())
    assert after[turns[3].text]["content_status"] == "opened", "the other person's words can be read"
    assert len(await media(system, other)) == 1
    assert await asyncio.to_thread(where, exports, other_words.encode()), "and are still in the export"

    # --- and life goes on -----------------------------------------------------------------------------------------
    again = await hold(system, TurnInput("of-a", text="I am back.", subject="a", learning_consent=True))
    assert again.reply is not None
    assert again.decision is not None
    assert [turn.text for turn in again.decision.dialogue] == ["I am back."], "nothing is remembered"
    await asyncio.sleep(3)
    assert "I am back." in await asyncio.to_thread(logged, system, data)
