"""The command line: `multimood --help` lists what there is."""

import typer

from multimood.cli import dlq, escalations, evaluate, experience, keys, models, rl, topics, train, trust
from multimood.cli.check import check
from multimood.cli.demo import demo
from multimood.cli.erase import erase
from multimood.cli.evaluate_crisis import crisis
from multimood.cli.evaluate_vera import vera_mh
from multimood.cli.explained import Explained
from multimood.cli.local import down, status, up
from multimood.cli.ope import ope
from multimood.cli.results import results
from multimood.cli.simulate import simulate
from multimood.cli.talk import talk

app = typer.Typer(
    name="multimood",
    cls=Explained,
    help="MultiMood: trustworthy multimodal emotional support as streaming microservices.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
for command in (up, status, down, talk, demo, check, results, ope, simulate, erase):
    app.command()(command)
app.add_typer(keys.app, name="keys")
app.add_typer(topics.app, name="topics", help="The topics on the broker.")
app.add_typer(dlq.app, name="dlq", help="Dead letters: the records that nobody could process.")
app.add_typer(escalations.app, name="escalations")
app.add_typer(experience.app, name="experience", help="The experience log: what was decided, answered and scored.")
app.add_typer(models.app, name="models")
evaluate.app.command("crisis")(crisis)
evaluate.app.command("vera-mh")(vera_mh)
app.add_typer(evaluate.app, name="eval", help="How good the served models are, on labelled corpora.")
app.add_typer(trust.app, name="trust", help="The judges behind the trust score, side by side.")
app.add_typer(rl.app, name="rl", help="Learning from the experience log: train a policy, let it pass the gate.")
app.add_typer(train.app, name="train", help="Training from labelled data, one command a model.")
