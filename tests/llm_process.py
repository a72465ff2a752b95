"""A language model as a process of its own, to be frozen and killed: `python -m llm_process PORT`. Always kind."""

import asyncio
import sys

from llm_server import Exchange, LLMServer

WORDS = ("I ", "hear ", "you, ", "and ", "it ", "makes ", "sense. ", "What ", "happened ", "then?")


async def kind(exchange: Exchange) -> None:
    """Answer at the speed of a small model."""
    await exchange.say(WORDS, every_s=0.01)


async def serve(port: int) -> None:
    """Answer for ever."""
    made = LLMServer([kind])
    async with await asyncio.start_server(made.handle, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
