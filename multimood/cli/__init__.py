"""The command line: `multimood --help` lists what there is."""

import typer

from multimood.cli import dlq, escalations, evaluate, experience, keys, models, topics, train
from multimood.cli.check import check
from multimood.cli.demo import demo
from multimood.cli.erase import erase
from multimood.cli.local import down, status, up
from multimood.cli.results import results
from multimood.cli.talk import talk

app = typer.Typer(
    name="multimood",
    help="MultiMood: trustworthy multimodal emotional support as streaming microservices.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
for command in (up, status, down, talk, demo, check, results, erase):
    app.command()(command)
app.add_typer(keys.app, name="keys")
app.add_typer(topics.app, name="topics", help="The topics on the broker.")
app.add_typer(dlq.app, name="dlq", help="Dead letters: the records that nobody could process.")
app.add_typer(escalations.app, name="escalations")
app.add_typer(experience.app, name="experience", help="The experience log: what was decided, answered and scored.")
app.add_typer(models.app, name="models")
app.add_typer(evaluate.app, name="eval", help="How good the served models are, on labelled corpora.")
app.add_typer(train.app, name="train", help="Training from labelled data, one command a model.")
