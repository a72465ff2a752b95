"""`multimood train`: the project's own models, from labelled data, one command a model."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from multimood.cli.explained import explained
from multimood.cli.models import record_model
from multimood.local.places import checkout

app = typer.Typer(no_args_is_help=True)

REMEDY = "training needs its own environment: run `make train-env`, then `.venv-train/bin/multimood train ...`"

DataOption = Annotated[Path, typer.Option("--data", help="Folder with text/, audio/, av/, face/, dialogue/.")]
OutOption = Annotated[Path | None, typer.Option("--out", help="Where model and card go; by default into the project.")]
RunOption = Annotated[
    Path | None, typer.Option("--run", help="Folder of the run: what was asked for, tried, found. Also to go on from.")
]
SeedOption = Annotated[int, typer.Option("--seed", help="The same data and seed give the same model.")]


@app.command("text")
def text(data: DataOption, out: OutOption = None, run: RunOption = None, seed: SeedOption = 0) -> None:
    """The adapter that teaches the text encoder about feelings and supporters' acts; half an hour on two cores.

    A run that was broken off goes on where it was. Afterwards `make setup` builds the encoder with it; then the fusion
    model and the judges of empathy and quality have to be trained anew.
    """
    with explained(REMEDY):
        from multimood.training.text import run as training  # noqa: PLC0415 - see REMEDY

        folder = run or _runs() / "text"
        metrics = training.train(data, out or _assets(), folder, seed, root=checkout(), report=_reporter())
        if out is None:
            record_model("text_adapter")
    _show(metrics)


@app.command("fusion")
def fusion(data: DataOption, out: OutOption = None, run: RunOption = None, seed: SeedOption = 0) -> None:
    """Emotion, intensity, stage and strategy from the encoders' vectors and the turns before.

    The first run embeds every text of the dialogues (a quarter of an hour on two cores); then half an hour at most.
    A run that was broken off goes on where it was.
    """
    with explained(REMEDY):
        from multimood.training.audio.run import Folders  # noqa: PLC0415 - see REMEDY
        from multimood.training.encoders import PLACES  # noqa: PLC0415 - see REMEDY
        from multimood.training.fusion import run as training  # noqa: PLC0415 - see REMEDY

        root = checkout()
        places = PLACES.below(root)
        folders = Folders(root, run or _runs() / "fusion")
        metrics = training.train(data, out or root / training.OUT, folders, seed, places=places, report=_reporter())
        if out is None:
            record_model("fusion")
    _show(metrics)


@app.command("audio")
def audio(data: DataOption, out: OutOption = None, run: RunOption = None, seed: SeedOption = 0) -> None:
    """The audio encoder's adapter, and the heads on its embedding: emotion, strong or normal."""
    with explained(REMEDY):
        from multimood.training.audio import run as training  # noqa: PLC0415 - see REMEDY

        folders = training.Folders(checkout(), run or _runs() / "audio")
        metrics = training.train(data, out or _assets(), folders, seed)
        if out is None:
            record_model("audio_adapter")
    _show(metrics)
    if out is None:
        typer.echo("`make setup` builds the encoder with it; then train what stands on it: `multimood train fusion`")


@app.command("video")
def video(data: DataOption, out: OutOption = None, run: RunOption = None, seed: SeedOption = 0) -> None:
    """The heads on faces: on the video encoder's embedding, and on facial action units beside the voice."""
    with explained(REMEDY):
        from multimood.training.audio.run import Folders  # noqa: PLC0415 - see REMEDY
        from multimood.training.video import run as training  # noqa: PLC0415 - see REMEDY

        folders = Folders(checkout(), run or _runs() / "video")
        metrics = training.train(data, out or _assets(), folders, seed, _reporter())
        if out is None:
            record_model("video_adapter")
    _show(metrics)


@app.command("crisis")
def crisis(data: DataOption, out: OutOption = None, seed: SeedOption = 0) -> None:
    """The classifier of crisis language that stands beside the rules. How a person is over many messages: `person`."""
    with explained(REMEDY):
        from multimood.training import crisis as training  # noqa: PLC0415 - see REMEDY

        _reporter()("training the crisis classifier: some minutes")
        metrics = training.train(data, out or _assets(), seed)
        if out is None:
            record_model("crisis")
    _show(metrics)


@app.command("person")
def person(data: DataOption, out: OutOption = None, seed: SeedOption = 0) -> None:
    """The judge of how a person is by all they have said: counts of what the crisis rules find, a minute or two.

    It counts what the shipped rules find: train it anew after a change of them.
    """
    with explained(REMEDY):
        from multimood.training import person as training  # noqa: PLC0415 - see REMEDY

        metrics = training.train(data, out or _assets(), seed, _reporter())
        if out is None:
            record_model("person")
    _show(metrics)


@app.command("empathy")
def empathy(data: DataOption, out: OutOption = None, seed: SeedOption = 0) -> None:
    """The judge of how much empathy a reply shows."""
    with explained(REMEDY):
        from multimood.training import empathy as training  # noqa: PLC0415 - see REMEDY
        from multimood.training.encoders import PLACES  # noqa: PLC0415 - see REMEDY

        _reporter()("training the empathy head: some minutes")
        metrics = training.train(data, out or _assets(), seed, PLACES.below(checkout()), _reporter())
        if out is None:
            record_model("empathy")
    _show(metrics)


@app.command("quality")
def quality(data: DataOption, out: OutOption = None, seed: SeedOption = 0) -> None:
    """The judge of counselling quality: what a supporter says, in the manner of good sessions or of bad ones."""
    with explained(REMEDY):
        from multimood.training import quality as training  # noqa: PLC0415 - see REMEDY
        from multimood.training.encoders import PLACES  # noqa: PLC0415 - see REMEDY

        _reporter()("training the quality head: some minutes, most of them for embedding the sessions once")
        metrics = training.train(data, out or _assets(), seed, PLACES.below(checkout()), _reporter())
        if out is None:
            record_model("quality")
    _show(metrics)


def _assets() -> Path:
    return checkout() / "multimood" / "assets"


def _runs() -> Path:
    return checkout() / ".tools" / "runs"


def _reporter() -> Callable[[str], None]:
    begun = time.monotonic()
    return lambda line: typer.echo(f"[{time.monotonic() - begun:4.0f} s] {line}", err=True)


def _show(metrics: Mapping[str, Any], indent: str = "") -> None:
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            typer.echo(f"{indent}{name}")
            _show(value, indent + "  ")
        else:
            typer.echo(f"{indent}{name}: {value:.3f}" if isinstance(value, float) else f"{indent}{name}: {value}")
