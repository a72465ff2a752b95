"""`multimood eval vera-mh`: simulated seekers at risk talk with the system and are judged."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from multimood.cli.evaluate import REMEDY, WIDTH, JsonOption, bars
from multimood.cli.explained import explained
from multimood.cli.talk import DATA, Door
from multimood.cli.written import write
from multimood.client import Tls
from multimood.errors import ConfigurationError

if TYPE_CHECKING:
    from multimood.evaluation.vera.judging import Judge
    from multimood.evaluation.vera.seekers import Seeker


@dataclass(frozen=True, slots=True)
class Model:
    """A chat model that plays or judges; without a URL there is none."""

    what: str
    url: str
    name: str
    key: str
    within_s: float

    def checked(self) -> "Model":
        """Itself. Raises ConfigurationError when it cannot be reached."""
        if not self.url or not self.name:
            raise ConfigurationError(
                f"--{self.what} llm needs --{self.what}-url (an OpenAI-compatible endpoint with its /v1) and "
                f"--{self.what}-model"
            )
        return self


def vera_mh(  # noqa: PLR0917 - typer makes options of them
    personas: Annotated[Path | None, typer.Option("--personas", help="Persona file (TSV); else the shipped.")] = None,
    rubric: Annotated[Path | None, typer.Option("--rubric", help="Rubric file (TSV); else the shipped.")] = None,
    turns: Annotated[int, typer.Option("--turns", min=1, max=50, help="What a persona says, at most.")] = 10,
    seeker: Annotated[
        Literal["scripted", "llm"], typer.Option("--seeker", help="Who plays the personas.")
    ] = "scripted",
    seeker_url: Annotated[str, typer.Option("--seeker-url", help="Endpoint of the model that plays.")] = "",
    seeker_model: Annotated[str, typer.Option("--seeker-model", help="Its name.")] = "",
    seeker_key: Annotated[str, typer.Option("--seeker-key", envvar="MULTIMOOD_SEEKER_KEY", help="Its key.")] = "",
    judge: Annotated[Literal["rules", "llm"], typer.Option("--judge", help="Who judges.")] = "rules",
    judge_url: Annotated[str, typer.Option("--judge-url", help="Endpoint of the model that judges.")] = "",
    judge_model: Annotated[str, typer.Option("--judge-model", help="Its name; not the one that is judged.")] = "",
    judge_key: Annotated[str, typer.Option("--judge-key", envvar="MULTIMOOD_JUDGE_KEY", help="Its key.")] = "",
    within: Annotated[
        float, typer.Option("--within", min=0.1, help="Seconds that a model has for a message or a judgement.")
    ] = 120.0,
    json_file: JsonOption = None,
    gateway: Annotated[str, typer.Option("--gateway", envvar="MULTIMOOD_ADDRESS", help="host:port of a gateway.")] = "",
    api_key: Annotated[str, typer.Option("--api-key", envvar="MULTIMOOD_API_KEY", help="Its API key.")] = "",
    tls: Annotated[bool, typer.Option("--tls", help="Talk TLS.")] = False,
    data: Annotated[Path, typer.Option("--data", help="Folder of the local system, when no gateway is given.")] = DATA,
) -> None:
    """How safely the running system talks with people at risk: simulated seekers, judged over five dimensions.

    The files' format is VERA-MH's (SpringCare). The shipped personas and rubric are this project's own and much
    shorter; give --personas and --rubric to use the published ones. Some personas are resistant: they deny, deflect and
    refuse help. Severities are the rubric's: red (may do harm), yellow (less than it should be). The worst slice is
    marked. The rule judge sees words only and leaves open what it cannot tell; for a full judgement use a model.
    """
    with explained(REMEDY):
        plays = Model("seeker", seeker_url, seeker_model, seeker_key, within)
        judges = Model("judge", judge_url, judge_model, judge_key, within)
        found = asyncio.run(
            _evaluate(
                (personas, rubric),
                turns,
                plays.checked() if seeker == "llm" else None,
                judges.checked() if judge == "llm" else None,
                Door.find(data, gateway, api_key, Tls() if tls else None),
            )
        )
        from multimood.evaluation.vera.report import show  # noqa: PLC0415 - see REMEDY

        console = Console()
        show(found, console if console.is_terminal else Console(width=WIDTH))
        write(json_file, found)


async def _evaluate(
    files: tuple[Path | None, Path | None], turns: int, plays: Model | None, judges: Model | None, door: Door
) -> dict[str, Any]:
    from multimood.evaluation.vera import run  # noqa: PLC0415 - see REMEDY
    from multimood.evaluation.vera.personas import read_personas  # noqa: PLC0415 - see REMEDY
    from multimood.evaluation.vera.rubric import Rubric  # noqa: PLC0415 - see REMEDY

    people, rubric = read_personas(files[0]), Rubric.load(files[1])
    async with AsyncExitStack() as stack:
        seeker, judge = await _seeker(plays, stack), await _judge(judges, stack)
        client = await stack.enter_async_context(door.open())
        await client.connect()
        with bars() as progress:
            return await run.evaluate(run.Stage(client, seeker, judge, rubric), people, turns, progress)


async def _seeker(model: Model | None, stack: AsyncExitStack) -> "Seeker":
    from multimood.evaluation.vera.seekers import LLMSeeker, ScriptedSeeker  # noqa: PLC0415 - see REMEDY
    from multimood.generation.openai import OpenAIGenerator, endpoint  # noqa: PLC0415 - see REMEDY

    if model is None:
        return ScriptedSeeker()
    client = await stack.enter_async_context(endpoint(model.url, model.key))
    return LLMSeeker(OpenAIGenerator(client, model.name), within_s=model.within_s)


async def _judge(model: Model | None, stack: AsyncExitStack) -> "Judge":
    from multimood.evaluation.vera.llm_judge import LLMJudge  # noqa: PLC0415 - see REMEDY
    from multimood.evaluation.vera.rule_judge import RuleJudge  # noqa: PLC0415 - see REMEDY
    from multimood.generation.openai import endpoint  # noqa: PLC0415 - see REMEDY
    from multimood.safety import Screener  # noqa: PLC0415 - see REMEDY

    if model is None:
        return RuleJudge(Screener.load())
    client = await stack.enter_async_context(endpoint(model.url, model.key))
    return LLMJudge(client, model.name, timeout_s=model.within_s)
