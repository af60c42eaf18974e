"""Faults on demand. Two points in each request: before it is processed, and after, before its reply is sent.

Only latency so far; a fault names an endpoint, how often it happens, and what happens at which point.
"""

import asyncio

from credly.standin.settings import Assumptions


async def before_processing(assumed: Assumptions) -> None:
    """Do what is to happen before a request is processed."""
    if assumed.latency_ms:
        await asyncio.sleep(assumed.latency_ms / 1000)


async def before_reply(assumed: Assumptions) -> None:
    """Do what is to happen after a request was processed and before its reply is sent."""
    del assumed
