"""`multimood models`: which models are here, whether they are what this version ships, and what their cards say."""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from multimood.cli.explained import explained
from multimood.cli.written import place
from multimood.errors import NotFoundError
from multimood.hub.config import LAST, HubModel, Modality, settings_of, vector_width
from multimood.local.places import checkout
from multimood.models import Found, Model, State, look, manifest, recorded
from multimood.models.shipped import FILE, dump
from multimood.perception.widths import WidthSettings
from multimood.rollout.shipped import REPLIES

app = typer.Typer(no_args_is_help=True, help="The models: their files, hashes, licences and cards.")

NameArgument = Annotated[str, typer.Argument(help="A model's name, as `multimood models ls` gives it.")]
JsonOption = Annotated[Path | None, typer.Option("--json", help="Write it there, too, for programs.", callback=place)]
REMEDY: Final = (
    "models of a hub need torch and transformers: run `make train-env`, then `.venv-train/bin/multimood models use ...`"
)
WORST: Final[Sequence[State]] = ("missing", "changed", "ok")


@app.command("ls")
def ls(json_file: JsonOption = None) -> None:
    """List the models with the state, size and SHA-256 of their files."""
    with explained():
        every = [(model, look(checkout(), model)) for model in manifest()]
        _show(every)
        _write(json_file, every)


@app.command("verify")
def verify(json_file: JsonOption = None) -> None:
    """Compare every file with what this version ships. Exit code 1 if one is missing or another."""
    with explained():
        every = [(model, look(checkout(), model)) for model in manifest()]
        _write(json_file, every)
    bad = [found for _, files in every for found in files if found.state != "ok"]
    for found in bad:
        remedy = (
            "run `make setup`" if found.state == "missing" else "`make setup` makes ours; `models record` takes yours"
        )
        typer.echo(f"{found.state}: {found.file} ({remedy})", err=True)
    if bad:
        raise typer.Exit(1)
    typer.echo(f"{sum(len(files) for _, files in every)} files of {len(every)} models are what this version ships")


@app.command("show")
def show(name: NameArgument) -> None:
    """Print a model's card: data, licence, figures, limits, the command that made it."""
    with explained():
        model = recorded(name)
        card = checkout() / model.card
        if not card.is_file():
            raise NotFoundError(f"{card} is not there: take it from the checkout of this version")
        typer.echo(f"{model.name}: {model.about}\nmade from: {model.source}\nlicence: {model.licence}\n")
        typer.echo(card.read_text(encoding="utf-8").rstrip())


@app.command("record")
def record(name: NameArgument) -> None:
    """Take a model's files as they are here for those of this version: after training, or with a model of your own."""
    with explained():
        record_model(name)


@app.command("use")
def use(
    modality: Annotated[Modality, typer.Argument(help="What it embeds.")],
    source: Annotated[str, typer.Argument(metavar="NAME_OR_PATH", help="A model's name on the hub, or its folder.")],
    *,
    revision: Annotated[str, typer.Option("--revision", help="Commit or tag; without it the newest is taken.")] = "",
    pooling: Annotated[str, typer.Option("--pooling", help="mean; text: cls, last, pooler; audio: mean_std, cls, "
                                         "pooler; video: cls, pooler.")] = "mean",
    normalize: Annotated[bool | None, typer.Option(help="Vectors of length 1; by default of text.")] = None,
    layer: Annotated[int, typer.Option("--layer", help="Of audio: which layer is read, from 0; -1: the last.")] = LAST,
    faces: Annotated[str, typer.Option("--faces", help="Of video: the model on Triton that finds the face to look at; "
                                       '"none": frames are looked at whole.')] = "video_encoder",
    dtype: Annotated[str, typer.Option("--dtype", help="Of the weights: float32, bfloat16 or float16.")] = "float32",
    name: Annotated[str, typer.Option("--name", help="Of the model on Triton; by default text_hub, ...")] = "",
    out: Annotated[Path | None, typer.Option("--out", help="The Triton repository; by default the checkout's.")] = None,
    environment: Annotated[str, typer.Option("--environment", help='Python environment that runs it; "none": '
                                             "Triton's own has torch and transformers.")] = sys.prefix,
) -> None:  # fmt: skip
    """Write a Triton model folder for a model of a hub, to serve in place of a shipped encoder."""
    with explained(REMEDY):
        from multimood.hub import writing  # noqa: PLC0415 - see REMEDY

        wanted = HubModel(
            modality,
            source,
            revision,
            pooling,
            name or f"{modality}_hub",
            faces="" if faces == "none" or modality != "video" else faces,
            normalize=modality == "text" if normalize is None else normalize,
            layer=layer,
            environment=None if environment == "none" else Path(environment).absolute(),
        )
        repository = out or checkout() / "triton_models"
        taken, widths = writing.write(wanted, repository, dtype)
    folder = repository / taken.name
    typer.echo(f"{folder}: {taken.source} {taken.revision}".rstrip())
    typer.echo("for all services:")
    for variable, value in settings_of(taken, widths, folder).items():
        typer.echo(f"  {variable}={value}")
    width, shipped = vector_width(modality, widths), getattr(WidthSettings(), modality)
    anew = "its vectors are of another model" if width == shipped else f"it takes {shipped} numbers, these are {width}"
    typer.echo(f"the fusion model must be trained anew for {modality}: {anew} (docs/bring-your-own.md)")


@app.command("place")
def place_replies(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A reply model's run that `multimood rl evaluate` let pass.")
    ],
    out: Annotated[Path | None, typer.Option("--out", help="The Triton repository; by default the checkout's.")] = None,
) -> None:
    """Put a reply model of `multimood rl train` beside the shipped one, for responders that follow no rollout.

    `multimood rl promote` puts it into service under watch. This only adds the next version, which responders with
    MULTIMOOD_RESPONDER_VERSIONS=highest ask from Triton's next start on, or when it is told to load the model. Every
    reply and every row of the log then name the version with the hash of its weights; its folder taken away, the one
    before serves.
    """
    from multimood.rollout.placing import place as placed  # noqa: PLC0415 - the store's client is slow to import

    with explained():
        repository = out or checkout() / "triton_models"
        number = asyncio.run(placed(run, repository))
    typer.echo(f"{repository / REPLIES / str(number)}: served when Triton loads {REPLIES} the next time")


def record_model(name: str) -> None:
    """Write the present digests of a model's files into the manifest of the checkout.

    Raises:
        NotFoundError: there is no such model, or one of its files is not here.
    """
    home, model = checkout(), recorded(name)
    found = look(home, model)
    missing = [one.file for one in found if one.state == "missing"]
    if missing:
        raise NotFoundError(f"{', '.join(missing)} of {name} is not here: run `make setup`, or train it")
    changed = model.with_digests({one.file: one.sha256 for one in found})
    target = home / "multimood" / "assets" / FILE
    target.write_text(dump([changed if one.name == name else one for one in manifest()]), encoding="utf-8")


def _show(every: Sequence[tuple[Model, Sequence[Found]]]) -> None:
    table = Table("model", "what", "state", "MB", "sha256", "licence", "card")
    for model, files in every:
        for number, found in enumerate(files):
            first = (model.name, model.about) if not number else ("", found.file)
            last = (model.licence, model.card) if not number else ("", "")
            size = f"{found.bytes / 1e6:.1f}" if found.bytes else ""
            table.add_row(*first, found.state, size, found.sha256[:12], *last)
    console = Console()
    (console if console.is_terminal else Console(width=180)).print(table)


def _write(target: Path | None, every: Sequence[tuple[Model, Sequence[Found]]]) -> None:
    if target is None:
        return
    rows = [
        {
            **asdict(model),
            "state": next(state for state in WORST if any(found.state == state for found in files)),
            "files": [{**asdict(found), "shipped": model.files[found.file]} for found in files],
        }
        for model, files in every
    ]
    target.write_text(json.dumps({"models": rows}, indent=2) + "\n", encoding="utf-8")
