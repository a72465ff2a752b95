"""What a model writes, and how likely it finds what is written: batches of chats through transformers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from multimood.learning.replies.contexts import Asking, Context, Message

TOP_P: Final = 0.9
REPEAT_PENALTY: Final = 1.1
"""As the responder's model on Triton samples (triton_models/responder/config.pbtxt)."""

Floats = NDArray[np.float64]
Tick = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Of one reply, given its chat."""

    log_prob: float
    """Sum of the natural logarithms over its tokens."""
    tokens: int


class Sampler:
    """A model that writes replies as the responder has them written, and cuts them as it does."""

    def __init__(self, model: Any, tokenizer: Any, asking: Asking, batch: int = 32) -> None:
        self._model, self._tokenizer, self._asking, self._batch = model, tokenizer, asking, batch

    def write(
        self, contexts: Sequence[Context], *, each: int, temperature: float, seed: int, tick: Tick | None = None
    ) -> list[list[str]]:
        """`each` replies to every context, as they would be sent; the same seed gives the same ones.

        `tick` is called for each context.
        """
        import torch  # noqa: PLC0415 - of the training environment

        self._model.eval()
        torch.manual_seed(seed)
        together = max(1, self._batch // each)
        chats = [self._asking.chat(context) for context in contexts]
        order = sorted(range(len(chats)), key=lambda place: sum(len(one["content"]) for one in chats[place]))
        found: list[list[str]] = [[] for _ in chats]
        for begin in range(0, len(order), together):
            places = order[begin : begin + together]
            for number, text in enumerate(self._written([chats[place] for place in places], each, temperature)):
                found[places[number // each]].append(text)
            for _ in places:
                if tick is not None:
                    tick()
        return found

    def _written(self, chats: Sequence[list[Message]], each: int, temperature: float) -> list[str]:
        import torch  # noqa: PLC0415

        prompt = self._tokenizer.apply_chat_template(
            list(chats), add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        ).to(self._model.device)
        chance: dict[str, Any] = (
            {"do_sample": True, "temperature": temperature, "top_p": TOP_P, "top_k": 0}
            if temperature
            else {"do_sample": False}
        )
        with torch.no_grad():
            written = self._model.generate(
                **prompt, max_new_tokens=self._asking.settings.max_tokens, num_return_sequences=each,
                repetition_penalty=REPEAT_PENALTY, pad_token_id=self._tokenizer.pad_token_id,
                eos_token_id=self._tokenizer.eos_token_id,
                stopping_criteria=[self._stops(prompt["input_ids"].shape[1])], **chance,
            )[:, prompt["input_ids"].shape[1] :]  # fmt: skip
        return [self.sent(row.tolist()) for row in written]

    def _stops(self, begin: int) -> Any:
        """Stops a reply where the responder would; the ids from `begin` on are the reply's."""
        import torch  # noqa: PLC0415
        from transformers import StoppingCriteria  # noqa: PLC0415

        asking, tokenizer = self._asking, self._tokenizer

        class Full(StoppingCriteria):  # type: ignore[misc]
            """Says so of every reply of the batch."""

            def __call__(self, input_ids: Any, *_args: Any, **_: Any) -> Any:
                texts = tokenizer.batch_decode(input_ids[:, begin:], skip_special_tokens=True)
                return torch.tensor([asking.is_full(text) for text in texts], device=input_ids.device)

        return Full()

    def sent(self, ids: Sequence[int]) -> str:
        """The reply that would be sent of these tokens."""
        end = self._tokenizer.eos_token_id
        is_whole = end in ids
        text = self._tokenizer.decode(ids[: ids.index(end)] if is_whole else ids, skip_special_tokens=True)
        return self._asking.sent(text, cut=not is_whole)

    def likelihood(self, chat: list[Message], reply: str) -> Likelihood:
        """How likely the model finds a reply to a chat, with the end of its turn."""
        ids = self._tokenizer(reply, add_special_tokens=False)["input_ids"] + [self._tokenizer.eos_token_id]
        return self.likelihood_of(chat, ids)

    def likelihood_of(self, chat: list[Message], ids: Sequence[int]) -> Likelihood:
        """The same of tokens as they were written."""
        import torch  # noqa: PLC0415

        self._model.eval()
        prompt = self._tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True)["input_ids"]
        tokens = torch.tensor([[*prompt, *ids]], device=self._model.device)
        with torch.no_grad():
            # One position more than there are tokens: what follows the last one is left out.
            logits = self._model(tokens, logits_to_keep=len(ids) + 1).logits[0, :-1].float()
        chosen = torch.log_softmax(logits, dim=-1).gather(1, tokens[0, len(prompt) :, None])
        return Likelihood(float(chosen.sum()), len(ids))
