"""`multimood rl`: policies learned from the experience log, and their way into service."""

import typer

from multimood.cli import rollout

app = typer.Typer(no_args_is_help=True)

rollout.add_to(app)
