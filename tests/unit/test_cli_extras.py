"""The command line is in images that have little more than the broker's client: it must start without anything else."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.unit

WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {
            "tritonclient", "scipy", "sklearn", "onnx", "onnxruntime", "pyarrow", "httpx", "jinja2", "tokenizers",
            "phonenumbers", "threadpoolctl", "torch", "matplotlib",
        }:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
from multimood.cli import app
app(["topics", "--help"])
"""


def test_topics_are_applied_from_the_gateways_image() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "apply" in done.stdout
