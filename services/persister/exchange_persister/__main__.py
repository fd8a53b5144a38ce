"""`python -m exchange_persister`: the shard-reading worker of the twins."""

import asyncio

from exchange_adapters.system import run_service
from exchange_persister.app import run
from exchange_persister.bootstrap import open_ports
from exchange_persister.config import Config


def main() -> None:
    """Run the persister until it is told to stop."""
    config = Config()

    async def serve(stopping: asyncio.Event) -> None:
        async with open_ports(config) as ports:
            await run(config, ports, stopping)

    run_service("persister", config.log_level, serve)


if __name__ == "__main__":
    main()
