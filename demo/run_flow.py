"""Running the reconcile flow once, in a process that knows the Prefect server's address."""

import asyncio

from flows.reconcile import reconcile

if __name__ == "__main__":
    asyncio.run(reconcile())
