"""The text encoder that a command embeds with: on a Triton that runs, or on one that is started for it."""

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multimood.trust.case import Embed


def served_embedder(url: str, stack: AsyncExitStack) -> "Embed":
    """Make the function that embeds texts on the server at `url`; its connection ends with `stack`."""
    # Imported here: this needs the packages of evaluation, which not everybody has installed.
    from multimood.evaluation.served import DEADLINE_S  # noqa: PLC0415
    from multimood.inference import InferenceClient  # noqa: PLC0415
    from multimood.local.places import checkout  # noqa: PLC0415
    from multimood.media.text import TextTokenizer  # noqa: PLC0415
    from multimood.perception.text import TextModelSettings  # noqa: PLC0415
    from multimood.settings import TritonSettings  # noqa: PLC0415
    from multimood.trust.embedding import embedder  # noqa: PLC0415

    text, client = TextModelSettings(), InferenceClient(TritonSettings(url=url, deadline_s=DEADLINE_S))
    stack.push_async_callback(client.close)
    return embedder(client, TextTokenizer(checkout() / text.tokenizer), text.model)
