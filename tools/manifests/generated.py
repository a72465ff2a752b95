"""What of k8s/ is made from the code: written by `write`, and compared by `make manifests` and the tests."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from tools.manifests import panels, strimzi
from tools.manifests.dashboards import dashboard

ROOT: Final = Path(__file__).resolve().parents[2]
COMPONENTS: Final = ROOT / "k8s" / "components"
MADE: Final = "# Made by `python -m tools.manifests write`: change the code that it is made from, not this.\n"


def wanted() -> dict[Path, str]:
    """Content by file."""
    return {
        COMPONENTS / "strimzi" / "topics.yaml": _documents(strimzi.topics()),
        COMPONENTS / "strimzi" / "users.yaml": _documents(strimzi.users()),
        **{
            COMPONENTS / "monitoring" / "dashboards" / f"{name}.json": _json(dashboard(*told))
            for name, told in (
                ("conversations", ("multimood-conversations", "MultiMood: conversations", panels.CONVERSATIONS)),
                ("pipeline", ("multimood-pipeline", "MultiMood: pipeline", panels.PIPELINE)),
            )
        },
        **{
            COMPONENTS / "triton" / Path(module).name: (ROOT / module).read_text()
            for module in ("multimood/local/canary.py", "multimood/local/triton_http.py", "multimood/errors.py")
        },
    }


def stale() -> Iterator[str]:
    """Name the files that are not what the code says now."""
    for path, content in wanted().items():
        if not path.is_file() or path.read_text() != content:
            yield f"{path.relative_to(ROOT)} is not what the code says: run `python -m tools.manifests write`"


def write() -> Iterator[str]:
    """Bring the files up to date; gives their names."""
    for path, content in wanted().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        yield str(path.relative_to(ROOT))


class _Plain(yaml.SafeDumper):  # type: ignore[misc]
    """Writes a list again instead of pointing at it."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _documents(manifests: list[dict[str, Any]]) -> str:
    text: str = yaml.dump_all(manifests, Dumper=_Plain, sort_keys=False, default_flow_style=None, width=140)
    return MADE + text


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1) + "\n"
