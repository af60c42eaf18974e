"""Saving the demo's invented tokens as Prefect Secret blocks, in a process that knows the server's address."""

import asyncio

from prefect.blocks.system import Secret
from pydantic import SecretStr

from demo.credly_data import tokens


async def save_tokens() -> None:
    """Create or overwrite one Secret block for each connection of the demo."""
    for name, token in tokens().items():
        block: Secret[str] = Secret(value=SecretStr(token))  # Secret[str](…) would make a block type of its own
        await block.asave(name, overwrite=True)


if __name__ == "__main__":
    asyncio.run(save_tokens())
