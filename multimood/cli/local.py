"""`multimood up`, `down`, `status`: the whole system on this machine."""

import json
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from multimood.errors import MultimoodError
from multimood.local.endpoints import Endpoints
from multimood.local.places import DataFolder, checkout
from multimood.local.process import Identity
from multimood.local.screen import Progress, span, status_table
from multimood.local.services import chosen
from multimood.local.stack import STOP_WITHIN_S, command, explain
from multimood.local.state import SystemState

DATA: Final = Path(".data")
REFRESH_S: Final = 0.1

DataOption = Annotated[Path, typer.Option("--data", help="Folder with the system's state; one system per folder.")]

console = Console()


def up(
    data: DataOption = DATA,
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay, and end everything with Ctrl-C.")] = False,
    only: Annotated[str | None, typer.Option("--only", help="Comma-separated parts instead of all.")] = None,
) -> None:
    """Start broker, store, Triton and the nine services; return when all are ready."""
    folder = DataFolder(data.absolute())
    state = SystemState.read(folder)
    if state is not None and state.running:
        console.print(f"already running in {data}, {state.phase}: see `multimood status`, end it with `multimood down`")
        raise typer.Exit(0 if state.phase == "ready" else 1)
    process = _launch(folder, only)
    try:
        state = _await_start(folder, process)
        if state is None or state.phase != "ready":
            typer.secho(explain(folder, state), fg="red", err=True)
            raise typer.Exit(1)
        _print_addresses(data, state)
        if foreground:
            console.print("Ctrl-C ends it.")
            raise typer.Exit(process.wait())
    except KeyboardInterrupt:
        console.print("\nending it")
        process.send_signal(signal.SIGTERM)
        raise typer.Exit(process.wait()) from None


def down(data: DataOption = DATA) -> None:
    """End the system that `up` started in this folder, and nothing else."""
    folder = DataFolder(data.absolute())
    state = SystemState.read(folder)
    if state is None or not state.running:
        console.print(f"nothing runs in {data}")
        return
    parts = {name: part.identity for name, part in state.parts.items() if part.identity is not None}
    began = time.monotonic()
    state.supervisor.send(signal.SIGTERM)
    with Progress(console) as progress:
        while state.running:
            progress.show(SystemState.read(folder) or state)
            if time.monotonic() - began > STOP_WITHIN_S:
                console.print("the supervisor does not end: killing it, and with it the parts")
                state.supervisor.send(signal.SIGKILL)
                break
            time.sleep(REFRESH_S)
    if left := _still_running([state.supervisor, *parts.values()], within_s=5.0):
        typer.secho(f"still running: {', '.join(str(one.pid) for one in left)}", fg="red", err=True)
        raise typer.Exit(1)
    console.print(f"ended in {span(time.monotonic() - began)}: {', '.join(parts)}")


def status(
    data: DataOption = DATA,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show each part: whether it is ready, since when, how often it was restarted, how far it lags behind."""
    state = SystemState.read(DataFolder(data.absolute()))
    running = state is not None and state.running
    kafka = state.parts.get("kafka") if state and running else None
    lag = _lag(data) if kafka and kafka.condition == "ready" else {}
    if as_json:
        typer.echo(json.dumps({"running": running, "lag": lag, **(asdict(state) if state else {})}, indent=1))
    elif state is None or not running:
        console.print(f"nothing runs in {data}: `multimood up` starts it")
    else:
        console.print(f"{state.phase}, up {span(state.supervisor.uptime_s())}, logs in {data}/logs")
        console.print(status_table(state, lag))
    if not running:
        raise typer.Exit(1)


def _launch(folder: DataFolder, only: str | None) -> "subprocess.Popen[bytes]":
    """Start the supervisor in a session of its own, so that it outlives this command and its terminal."""
    try:
        names = None if only is None else chosen(only.split(","))
    except MultimoodError as error:
        typer.secho(str(error), fg="red", err=True)
        raise typer.Exit(2) from None
    with folder.log("supervisor").open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - the argv is ours
            command(folder.root, names),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=checkout(),
            start_new_session=True,
        )


def _await_start(folder: DataFolder, process: "subprocess.Popen[bytes]") -> SystemState | None:
    """Show the start until it has succeeded or failed. Gives the last state, None if there was none."""
    with Progress(console) as progress:
        while True:
            ended = process.poll() is not None  # before reading: the last state is written before the end
            state = SystemState.read(folder)
            if state is not None and state.supervisor.pid != process.pid:
                state = None  # of an earlier system
            if state is not None:
                progress.show(state)
            if ended or (state is not None and state.phase == "ready"):
                return state
            time.sleep(REFRESH_S)


def _lag(data: Path) -> dict[str, int]:
    from multimood.local.lag import lag_of_groups  # noqa: PLC0415 - the client is slow to import, and used here only

    return lag_of_groups(Endpoints.of(data).kafka)


def _still_running(processes: Iterable[Identity], within_s: float) -> list[Identity]:
    deadline = time.monotonic() + within_s
    while left := [one for one in processes if one.alive()]:
        if time.monotonic() > deadline:
            return left
        time.sleep(REFRESH_S)
    return []


def _print_addresses(data: Path, state: SystemState) -> None:
    endpoints = Endpoints.of(data)
    addresses = {"gateway": endpoints.gateway, "kafka": endpoints.kafka_brokers, "triton": endpoints.triton_url}
    there = ", ".join(f"{name} {address}" for name, address in addresses.items() if name in state.parts)
    console.print(f"ready after {span(state.ready_s or 0.0)}: {there}", highlight=False)
