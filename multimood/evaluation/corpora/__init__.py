"""One small file a corpus. A new one is found by being here; see docs/evaluation.md."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from multimood.evaluation.rows import Corpus


@cache
def corpora() -> dict[str, Corpus]:
    """Every corpus by name: the `CORPUS` of each module here whose name has no underscore before it."""
    names = sorted(module.name for module in iter_modules(__path__) if not module.name.startswith("_"))
    found = [import_module(f"{__name__}.{name}").CORPUS for name in names]
    return {corpus.name: corpus for corpus in found}
