"""Services and the models that they are served: what fits, what does not, and a server that comes late."""

import asyncio
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from service_process import Process

from multimood.bus.admin import apply_topics
from multimood.inference import Contract, ContractError, Contracts, InferenceClient
from multimood.local.kafka import KafkaServer
from multimood.local.parts import TRITON_PORTS
from multimood.local.places import checkout
from multimood.local.ports import assign
from multimood.local.server import start_and_wait
from multimood.local.triton import TritonServer
from multimood.perception.fusion_contract import fusion_contract
from multimood.perception.picture import VideoModelSettings, picture_contract
from multimood.perception.settings import PerceptionSettings
from multimood.perception.sound import AudioModelSettings, sound_contract, transcriber_contract
from multimood.perception.text import TextModelSettings, text_contract
from multimood.perception.widths import WidthSettings
from multimood.settings import KafkaSettings, TritonSettings

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

WIDTHS = WidthSettings()
ALL = (
    text_contract(TextModelSettings(), WIDTHS),
    sound_contract(AudioModelSettings(), WIDTHS),
    transcriber_contract("transcriber"),
    picture_contract(VideoModelSettings(), WIDTHS),
    fusion_contract(PerceptionSettings(), WIDTHS),
    fusion_contract(PerceptionSettings(taxonomy="esconv"), WIDTHS),
)
SILENT = "class TritonPythonModel:\n    def execute(self, requests):\n        return []\n"


def declare(folder: Path, model: str, *changes: tuple[str, str]) -> None:
    """A model that declares what the shipped one does, but for the changes, and is never asked anything."""
    text = (checkout() / "triton_models" / model / "config.pbtxt").read_text()
    for before, after in (('backend: "onnxruntime"', 'backend: "python"'), *changes):
        assert before in text
        text = text.replace(before, after)
    (folder / model / "1").mkdir(parents=True)
    (folder / model / "config.pbtxt").write_text(text)
    (folder / model / "1" / "model.py").write_text(SILENT)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """A server, not started, of models that are not those of this version."""
    folder = tmp_path_factory.mktemp("other")
    width = WIDTHS.text
    declare(folder / "models", "text_encoder", (f"dims: [ {width} ]", f"dims: [ {2 * width} ]"))
    declare(folder / "models", "fusion", (f'"text" data_type: TYPE_FP32 dims: [ {width} ]',
                                          f'"text" data_type: TYPE_FP32 dims: [ {2 * width} ]'))  # fmt: skip
    server = TritonServer(folder / "triton.log", assign(TRITON_PORTS), folder / "models")
    yield server
    server.stop()


def start(server: TritonServer) -> None:
    if server.child is None:
        start_and_wait(server, server.log, 120)


async def fit(url: str, contracts: Sequence[Contract]) -> bool:
    client = InferenceClient(TritonSettings(url=url))
    try:
        return await Contracts(client, *contracts).fit()
    finally:
        await client.close()


async def test_the_shipped_models_are_what_the_services_need(triton: TritonServer) -> None:
    assert await fit(triton.url, ALL)


async def test_of_a_server_that_is_away_nothing_can_be_said() -> None:
    assert await fit(f"127.0.0.1:{assign(['nobody'])['nobody']}", ALL) is False


@pytest.fixture
def process(kafka: KafkaServer, tmp_path: Path, other: TritonServer) -> Callable[[str], Process]:
    broker, group = KafkaSettings(brokers=kafka.brokers), f"t{secrets.token_hex(4)}"
    apply_topics(broker)
    return lambda name: Process(name, broker, tmp_path, group, MULTIMOOD_TRITON_URL=other.url)


async def ended(process: Process) -> int:
    async with asyncio.timeout(60):
        while (code := process.exit_code()) is None:  # noqa: ASYNC110 - only asking shows it
            await asyncio.sleep(0.1)
    return code


async def test_a_server_that_comes_late_with_the_wrong_model_ends_the_service(
    other: TritonServer, process: Callable[[str], Process]
) -> None:
    encoder = process("text_encoder")
    encoder.start()
    try:
        async with asyncio.timeout(60):
            while "working" not in encoder.tail():  # noqa: ASYNC110 - only its log shows it
                await asyncio.sleep(0.1)
        assert encoder.exit_code() is None, "that Triton is away is no reason to end"
        assert not encoder.is_ready()
        start(other)
        assert await ended(encoder) == 2
    finally:
        await encoder.drained()
    width = WIDTHS.text
    for part in (
        f"text_encoder on {other.url}: output embedding FP32 [-1, {2 * width}] is served",
        f"needed is FP32 [-1, {width}]",
        "multimood train fusion",
        "MULTIMOOD_WIDTH_TEXT",
    ):
        assert part in encoder.tail()


async def test_the_wrong_model_ends_the_service_before_it_takes_work(
    other: TritonServer, process: Callable[[str], Process]
) -> None:
    start(other)
    strategist = process("strategist")
    strategist.start()
    assert await ended(strategist) == 2
    assert f"input text FP32 [-1, {2 * WIDTHS.text}] is served" in strategist.tail()
    assert "partition taken over" not in strategist.tail()


async def test_what_is_not_served_at_all_is_waited_for(other: TritonServer) -> None:
    start(other)
    assert await fit(other.url, [picture_contract(VideoModelSettings(), WIDTHS)]) is False
    with pytest.raises(ContractError):
        await fit(other.url, [text_contract(TextModelSettings(), WIDTHS)])
