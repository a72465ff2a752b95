"""The embedded Triton's model repository: links to the models of the checkout, and policies of its own beside them.

What is promoted is written to the data folder, never to the checkout. Triton takes no model from two repositories, so
what it serves is one folder: a policy model and the reply model in it are copies, which then get further versions, all
else is a link.
"""

import os
import shutil
from pathlib import Path
from typing import Final

from multimood.local.triton_install import models
from multimood.rollout.replies import NO_CACHE
from multimood.rollout.repository import PROGRAM
from multimood.rollout.serving import TRIAL
from multimood.rollout.shipped import REPLIES

POLICIES: Final = "policy"
"""With it the names of policy models begin."""


def lay_out(shipped: Path, own: Path) -> Path:
    """Make the repository `own` of the models in `shipped`; gives it. What was promoted into it stays.

    Raises:
        ConfigurationError: a model is missing or cannot work.
    """
    own.mkdir(parents=True, exist_ok=True)
    wanted = models(shipped)
    for entry in own.iterdir():
        if entry.is_symlink() and entry.name not in wanted:
            entry.unlink()
        elif entry.name.endswith(TRIAL):  # of a promotion that was killed
            shutil.rmtree(entry)
    for name in wanted:
        if name.startswith(POLICIES) or name == REPLIES:
            _copy_missing(shipped / name, own / name)
        else:
            _link(shipped / name, own / name)
    if REPLIES in wanted:
        _renew_program(shipped / REPLIES, own / REPLIES)
    return own


def _copy_missing(shipped: Path, own: Path) -> None:
    """Versions never change, so one that is there stays; the configuration is the checkout's."""
    if own.is_symlink():  # of a version that promoted none of these
        own.unlink()
    own.mkdir(exist_ok=True)
    shutil.copy2(shipped / "config.pbtxt", own / "config.pbtxt")
    for version in shipped.glob("[0-9]*"):
        if not (own / version.name).exists():
            part = own / f".{os.getpid()}-{version.name}"
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(version, part)
            part.rename(own / version.name)


def _renew_program(shipped: Path, own: Path) -> None:
    """The weights of a version never change; the program that serves them is the checkout's, in all of them."""
    for version in own.glob("[0-9]*"):
        for name in PROGRAM:
            shutil.copy2(shipped / "1" / name, version / name)
        cache = version / NO_CACHE
        if not cache.is_file():
            shutil.rmtree(cache, ignore_errors=True)
            cache.touch()


def _link(target: Path, link: Path) -> None:
    if link.is_symlink() and link.readlink() == target:
        return
    link.unlink(missing_ok=True)
    link.symlink_to(target)
