"""An encoder service with Triton against its model alone: `python -m benchmarks.encoders [--quick] [--json FILE]`.

A backlog of utterances lies in Kafka, their media in the store; the service reads, fetches, decodes, asks Triton and
publishes, until all have their embedding. Beside it the same model file is called in-process on the same tensors, ready
made, those of equal shape in batches; the best of three batch sizes counts. One thread for the model in both. Rounds
alternate; ratios are taken within a round. What the service does besides the model is in its figure, not in the other.

At saturation: the first quarter, in which processes start and connect, and the last tenth, in which fewer and fewer
utterances are left to be worked on side by side, do not count. `all` is the rate with them.
"""

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.table import Table

from benchmarks import harness, topics
from benchmarks.join import PARTITIONS
from multimood.bus import Publisher
from multimood.contracts.v1 import events_pb2 as pb
from multimood.encoding import topic_of
from multimood.local.places import checkout
from multimood.local.samples import face_clip, speech
from multimood.local.stack import Stack
from multimood.media import audio, video
from multimood.media.limits import MediaLimits
from multimood.media.text import TextTokenizer
from multimood.settings import KafkaSettings
from multimood.store import Store
from multimood.topics import UTTERANCE
from services.text_encoder.settings import TextEncoderSettings
from services.video_encoder.settings import VideoEncoderSettings

GOAL: Final = 0.80
WORDS: Final = (
    "I lost my job on Friday and still have not told anybody at home it feels as if everyone else knows what to do "
    "while nothing I try seems to work out any more some days are better than others but the nights are long"
)
TRITON_PYTHON: Final = checkout() / ".venv-triton" / "bin" / "python"
READY: Final = "partition taken over"
POLL_S: Final = 0.25
FROM: Final = 0.25
TO: Final = 0.9
"""Of the outputs: where saturation begins and ends."""

Tensors = Mapping[str, Any]
Media = tuple[bytes, bytes]
"""A voice and a film."""


@dataclass(frozen=True, slots=True)
class Task:
    """One encoder's work."""

    name: str
    modality: "pb.Modality"
    count: int
    quick: int
    batches: tuple[int, ...]


TASKS: Final = (
    Task("text_encoder", pb.MODALITY_TEXT, 1500, 300, (1, 8, 32)),
    Task("audio_encoder", pb.MODALITY_AUDIO, 150, 30, (1, 4, 8)),
    Task("video_encoder", pb.MODALITY_VIDEO, 100, 20, (1, 4, 16)),
)


@dataclass(frozen=True, slots=True)
class Round:
    """Both, once."""

    service_per_s: float
    """At saturation."""
    all_per_s: float
    service_cpu_s: float
    alone_per_s: float
    batch: int

    @property
    def ratio(self) -> float:
        """The service over the model alone."""
        return self.service_per_s / self.alone_per_s


def sentences(count: int) -> list[str]:
    """Of 4 to 40 words, always the same."""
    chance, words = random.Random(3), WORDS.split()
    return [" ".join(chance.choices(words, k=chance.randint(4, 40))) for _ in range(count)]


def tensors(task: Task, texts: Sequence[str], media: Media) -> list[Tensors]:
    """What the service gives to the model."""
    sound, film = media
    if task.modality == pb.MODALITY_TEXT:
        tokenizer = TextTokenizer(TextEncoderSettings().tokenizer)
        pairs = [tokenizer.encode(text) for text in texts]
        return [{"input_ids": ids, "attention_mask": mask} for ids, mask in pairs]
    if task.modality == pb.MODALITY_AUDIO:
        mel = audio.log_mel(audio.decode(sound, MediaLimits()))
        return [{"mel": mel}] * task.count
    own = VideoEncoderSettings()
    frames = video.sample_frames(film, MediaLimits(), fps=own.frames_per_s, most=own.most_frames)
    return [{"frames": frames}] * task.count


async def publish(system: Stack, task: Task, texts: Sequence[str], run: str, media: Media) -> None:
    """The backlog; every utterance has its own object in the store."""
    sound, film = media
    publisher = Publisher(KafkaSettings(brokers=system.kafka_brokers), "bench", timeout_s=60)
    store = Store(system.s3)
    await publisher.start()

    async def one(number: int) -> None:
        context = pb.Context(tenant="bench", conversation_id=f"{run}-{number}", utterance_id=f"{run}-{number}")
        utterance = pb.Utterance(context=context, manifest=[task.modality])
        if task.modality == pb.MODALITY_TEXT:
            utterance.text = texts[number]
        else:
            kind, data, media_type = ("audio", sound, "audio/wav")
            if task.modality == pb.MODALITY_VIDEO:
                kind, data, media_type = ("video", film, "video/mp4")
            else:  # with words, so that nothing is transcribed
                utterance.manifest.append(pb.MODALITY_TEXT)
                utterance.text = "said"
            key = f"bench/{context.conversation_id}/{kind}"
            getattr(utterance, kind).CopyFrom(await store.put(store.media_bucket, key, data, media_type))
        await publisher.publish(UTTERANCE, utterance)

    for at in range(0, task.count, 50):
        await asyncio.gather(*(one(number) for number in range(at, min(at + 50, task.count))))
    await publisher.stop()
    await store.close()


def serve(system: Stack, task: Task, folder: Path, run: str) -> tuple[float, float, float]:
    """Let the service do the backlog; gives utterances per second at saturation and in all, and its CPU-seconds."""
    out, brokers = topic_of(task.modality).name, system.kafka_brokers
    log = folder / f"{run}.log"
    env = {**system.env, "MULTIMOOD_KAFKA_GROUP_PREFIX": run}
    with topics.admin(brokers) as client:
        before = topics.ends(client, out, PARTITIONS)
        with harness.process([sys.executable, "-m", f"services.{task.name}"], log, env) as child:
            harness.wait_said(child, log, READY)
            began, used = time.time(), harness.Usage.of(child.pid)
            while sum(topics.ends(client, out, PARTITIONS).values()) - sum(before.values()) < task.count:
                if child.exit_code() is not None or time.time() - began > 300:
                    raise RuntimeError(f"{task.name} did not end: {log.read_text()[-2000:]}")
                time.sleep(POLL_S)
            cpu_s = harness.Usage.of(child.pid).cpu_s - used.cpu_s
    times = asyncio.run(topics.append_times_s(brokers, out, before))
    first, last = int(task.count * FROM), int(task.count * TO)
    return (last - first) / (times[last] - times[first]), task.count / (times[-1] - began), cpu_s


def alone(task: Task, inputs: Path) -> dict[int, float]:
    """Seconds for all inputs, by batch size."""
    argv = [str(TRITON_PYTHON), "-m", "benchmarks.contenders.in_process", task.name, str(inputs)]
    done = subprocess.run(
        [*argv, *map(str, task.batches)], check=True, capture_output=True, text=True, cwd=checkout(), timeout=600
    )
    return {int(rows): float(seconds) for rows, seconds in json.loads(done.stdout).items()}


def measure(task: Task, system: Stack, folder: Path, rounds: int, media: Media) -> list[Round]:
    """Rounds of both."""
    texts, inputs, made = sentences(task.count), folder / f"{task.name}.npz", []
    arrays = {
        f"{number}.{name}": array
        for number, feed in enumerate(tensors(task, texts, media))
        for name, array in feed.items()
    }
    np.savez(inputs, **arrays)
    for number in range(rounds):
        topics.empty(system.kafka_brokers, UTTERANCE.name, PARTITIONS)
        run = f"bench-{task.name}-{number}"
        asyncio.run(publish(system, task, texts, run, media))
        saturated, in_all, cpu_s = serve(system, task, folder, run)
        best, took = min(alone(task, inputs).items(), key=lambda item: item[1])
        made.append(Round(saturated, in_all, cpu_s, task.count / took, best))
    return made


def main() -> None:
    """Measure, print, write."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--only", help="comma-separated: " + ", ".join(task.name for task in TASKS))
    chosen = parser.parse_args()
    console, found = harness.console(), {}
    with harness.folder() as folder, ExitStack() as ending:
        sound = speech("I lost my job on Friday, and I still have not told anybody at home.", folder / "voice.wav")
        media = sound.read_bytes(), face_clip(sound, folder / "face.mp4").read_bytes()
        with console.status("starting broker, store and Triton"):
            system = ending.enter_context(Stack(folder / "system", services=()))
        topics.apply(system.kafka_brokers, PARTITIONS)
        for task in TASKS:
            if chosen.only and task.name not in chosen.only.split(","):
                continue
            sized = Task(**{**asdict(task), "count": task.quick}) if chosen.quick else task
            with console.status(task.name):
                found[task.name] = measure(sized, system, folder, 1 if chosen.quick else 3, media)
    shown = Table("", "service, per second", "all", "model alone, per second", "batch", "ratio", "service CPU ms each")
    for task in TASKS:
        if task.name not in found:
            continue
        rounds = found[task.name]
        count = task.quick if chosen.quick else task.count
        shown.add_row(
            task.name,
            harness.spread([one.service_per_s for one in rounds]),
            harness.spread([one.all_per_s for one in rounds]),
            harness.spread([one.alone_per_s for one in rounds]),
            ", ".join(sorted({str(one.batch) for one in rounds})),
            harness.spread([one.ratio for one in rounds]),
            f"{harness.median([one.service_cpu_s / count * 1000 for one in rounds]):.1f}",
        )
    goals = [
        harness.Goal(f"{name}, service ÷ model alone", harness.median([one.ratio for one in rounds]), GOAL)
        for name, rounds in found.items()
    ]
    figures = {
        "ratios": {name: harness.median([one.ratio for one in rounds]) for name, rounds in found.items()},
        "rounds": {name: [asdict(one) for one in rounds] for name, rounds in found.items()},
    }
    harness.report(console, shown, goals, figures, chosen.json)


if __name__ == "__main__":
    main()
