"""One export, of any form."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from multimood.errors import ConfigurationError
from multimood.experience.exports.dataset import export_hf
from multimood.experience.exports.manifest import Noted
from multimood.experience.exports.minari import export_minari
from multimood.experience.exports.obp import export_obp
from multimood.experience.exports.pairs import export_dpo
from multimood.experience.exports.preferences import export_kto
from multimood.experience.exports.wishes import Exported, Kind, NothingToExportError, Rows, Wishes

KINDS: Final[Mapping[Kind, Callable[[Rows, Path, Wishes], Exported]]] = MappingProxyType(
    {"trl-dpo": export_dpo, "trl-kto": export_kto, "minari": export_minari, "obp": export_obp, "hf": export_hf}
)

__all__ = ["KINDS", "Exported", "Kind", "NothingToExportError", "Rows", "Wishes", "export"]


def export(rows: Rows, kind: Kind, out: Path, wishes: Wishes | None = None) -> Exported:
    """Write the log into the folder `out` in the form `kind`, all of it or nothing. `rows` reads from the beginning.

    Beside it lies a manifest that says whose rows went into it (`multimood erase --exports`).

    Raises:
        ConfigurationError: the folder has something in it already, or a library is missing.
        NothingToExportError: no row fits.
    """
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise ConfigurationError(f"{out} has something in it already: give a folder that is new or empty")
    part = out.with_name(f"{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of an export that was broken off
    try:
        noted = Noted(rows, kind)
        done = KINDS[kind](noted, part, wishes or Wishes())
        noted.manifest().write(part)
        part.replace(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return done
