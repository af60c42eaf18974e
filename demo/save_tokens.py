"""Saving the demo's invented tokens as Prefect Secret blocks, in a process with the server's address."""

import asyncio

from prefect.blocks.system import Secret
from pydantic import SecretStr

from demo.credly_data import tokens


async def save_tokens() -> None:
    for name, token in tokens().items():
        # Secret[str](…) would create a block type of its own.
        block: Secret[str] = Secret(value=SecretStr(token))
        await block.asave(name, overwrite=True)


if __name__ == "__main__":
    asyncio.run(save_tokens())
