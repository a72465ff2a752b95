"""Fetches a model of a hub once, and writes the folder that Triton serves it from. Needs torch and transformers."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from transformers import AutoConfig, AutoFeatureExtractor, AutoImageProcessor, AutoModel, AutoTokenizer

from multimood.errors import ConfigurationError
from multimood.hub import serving
from multimood.hub.config import HubModel, config_text
from multimood.hub.serving.hub_encoder import HubError, open_encoder

_CODE: Final = ("model.py", "hub_encoder.py")
_LONGEST_REASON: Final = 300


def write(model: HubModel, out: Path, dtype: str = "float32") -> tuple[HubModel, Sequence[int]]:
    """Write `out / model.name`: configuration, code, weights as safetensors, and what prepares the input.

    The weights are fetched here, from the revision asked for, and never again. No code that a hub holds is run. Gives
    the model with the commit that it was taken from, and the sizes of its output after the rows.

    Raises:
        ConfigurationError: the folder exists; there is no such model; or it cannot serve as asked for.
    """
    target = out / model.name
    if target.exists():
        raise ConfigurationError(f"{target} is there: remove it, or give the model another --name")
    if Path(model.source).is_dir() and model.revision:
        raise ConfigurationError(f"{model.source} is a folder and has no revisions: leave --revision out")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".use-") as scratch:
        version = Path(scratch) / "1"
        weights = version / "weights"
        weights.mkdir(parents=True)
        try:
            commit = _fetch(model, weights, dtype)
            encoder = open_encoder(weights, model.modality, model.pooling, normalize=model.normalize, layer=model.layer)
            widths = encoder.widths()
        except (HubError, OSError, ValueError, ImportError, RuntimeError, KeyError) as error:
            reason = " ".join(str(error).split())[:_LONGEST_REASON]
            raise ConfigurationError(f"{model.source} cannot serve as {model.modality}: {reason}") from error
        for written in weights.iterdir():
            written.chmod(0o644)  # Triton may run as somebody else
        for file in _CODE:
            shutil.copyfile(Path(serving.__path__[0]) / file, version / file)
        taken = replace(model, revision=commit)
        text = config_text(taken, widths)
        target.mkdir()
        version.rename(target / "1")
    (target / "config.pbtxt").write_text(text, encoding="utf-8")  # last: without it the folder is no model
    return taken, widths


def _is_used(key: str, pooling: str) -> bool:
    """Tell whether a tensor matters for what is served; encoders are often published without a pooler."""
    return "masked_spec_embed" not in key and (pooling == "pooler" or "pooler" not in key)


def _fetch(model: HubModel, weights: Path, dtype: str) -> str:
    where: dict[str, Any] = {"revision": model.revision or None, "trust_remote_code": False}
    config = AutoConfig.from_pretrained(model.source, **where)
    commit = str(getattr(config, "_commit_hash", None) or "")
    where["revision"] = commit or where["revision"]  # of one commit all, whatever is pushed meanwhile
    net, loaded = AutoModel.from_pretrained(model.source, config=config, dtype=dtype, output_loading_info=True, **where)
    if absent := [key for key in sorted(loaded["missing_keys"]) if _is_used(key, model.pooling)]:
        raise HubError(f"{len(absent)} tensors are not in its file and would be random, the first is {absent[0]}")
    net.save_pretrained(weights)
    if model.modality == "text":
        tokenizer = AutoTokenizer.from_pretrained(model.source, **where)
        if not tokenizer.is_fast:
            raise HubError("its tokenizer cannot be written as a tokenizer.json, which the text encoder reads")
        tokenizer.backend_tokenizer.save(str(weights / "tokenizer.json"))
    else:
        prepares = AutoFeatureExtractor if model.modality == "audio" else AutoImageProcessor
        prepares.from_pretrained(model.source, **where).save_pretrained(weights)
    return commit
