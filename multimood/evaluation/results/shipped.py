"""Whether what was measured is what this version ships. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final

from multimood.models import Model

OTHER: Final = "**not the one that this version ships: measure again**"


class Shipped:
    """The models of the manifest."""

    def __init__(self, models: Iterable[Model]) -> None:
        self.models: Final[Mapping[str, Model]] = {model.name: model for model in models}

    def named(self, name: str, sha256: str | None) -> str:
        """A model with the beginning of its hash, and a warning where it is another than the shipped one."""
        if sha256 is None:
            return f"{name} of a server elsewhere"
        known = self.models[name].files.values() if name in self.models else ()
        return f"{name} `{sha256[:12]}`" + ("" if sha256 in known else f" ({OTHER})")
