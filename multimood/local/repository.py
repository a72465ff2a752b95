"""The embedded Triton's model repository: links to the models of the checkout, and policies of its own beside them.

Promoted policies are written to the data folder, never to the checkout. Triton takes no model from two repositories, so
what it serves is one folder: a policy model in it is a copy, which then gets further versions, all else a link.
"""

import os
import shutil
from pathlib import Path
from typing import Final

from multimood.local.triton_install import models

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
    for name in wanted:
        if name.startswith(POLICIES):
            _copy_missing(shipped / name, own / name)
        else:
            _link(shipped / name, own / name)
    return own


def _copy_missing(shipped: Path, own: Path) -> None:
    """Versions never change, so one that is there stays; the configuration is the checkout's."""
    own.mkdir(exist_ok=True)
    shutil.copy2(shipped / "config.pbtxt", own / "config.pbtxt")
    for version in shipped.glob("[0-9]*"):
        if not (own / version.name).exists():
            part = own / f".{os.getpid()}-{version.name}"
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(version, part)
            part.rename(own / version.name)


def _link(target: Path, link: Path) -> None:
    if link.is_symlink() and link.readlink() == target:
        return
    link.unlink(missing_ok=True)
    link.symlink_to(target)
