"""Writing replies with a language model: one small interface, two ways to reach a model, and the prompt."""

from multimood.generation.ask import Ask, ChatMessage, Finish, Generator, Piece, Token, Writer
from multimood.generation.errors import BusyError, RefusedError
from multimood.generation.openai import OpenAIGenerator
from multimood.generation.patience import Patience, patiently
from multimood.generation.prompt import ReplyPrompt, Situation
from multimood.generation.triton import TritonGenerator

__all__ = [
    "Ask",
    "BusyError",
    "ChatMessage",
    "Finish",
    "Generator",
    "OpenAIGenerator",
    "Patience",
    "Piece",
    "RefusedError",
    "ReplyPrompt",
    "Situation",
    "Token",
    "TritonGenerator",
    "Writer",
    "patiently",
]
