"""`python -m exchange_matcher`."""

import asyncio

from exchange_adapters.system import run_service
from exchange_matcher.app import run
from exchange_matcher.bootstrap import open_ports
from exchange_matcher.config import Config


def main() -> None:
    """Run the matcher until it is told to stop."""
    config = Config()

    async def serve(stopping: asyncio.Event) -> None:
        async with open_ports(config) as ports:
            await run(config, ports, stopping)

    run_service("matcher", config.log_level, serve)


if __name__ == "__main__":
    main()
