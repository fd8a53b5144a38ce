"""How large the images are and how long the containers take to start: `python -m tests.compose.measure`, or
`make containers-table`. Starts an exchange of its own, and removes it. Linux only: it asks containers by their address.

Start times are from Docker's start of the process to the first answer that it is ready; the machine's load is in them.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

import aiohttp
import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.compose.exchange import BASE_IMAGES, ContainerExchange, DockerError, docker, end_strays, why_not

POLL_S = 0.02
START_TIMEOUT_S = 120.0
MEGABYTE = 1_000_000
BASE = BASE_IMAGES[0]
FAULTS = (aiohttp.ClientError, asyncpg.PostgresError, RedisError, OSError, TimeoutError)


async def answers(url: str) -> bool:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status == 200


async def takes_queries(address: str) -> bool:
    connection = await asyncpg.connect(f"postgresql://crossbook:crossbook@{address}:5432/crossbook", timeout=1)
    await connection.close()
    return True


async def takes_commands(address: str) -> bool:
    async with Redis(host=address, socket_timeout=1) as client:
        return bool(await client.ping())


READY: dict[str, Callable[[str], Awaitable[bool]]] = {
    "gateway": lambda address: answers(f"http://{address}:8080/readyz"),
    "matcher-1": lambda address: answers(f"http://{address}:8080/readyz"),
    "persister": lambda address: answers(f"http://{address}:8080/readyz"),
    "fanout": lambda address: answers(f"http://{address}:8081/readyz"),
    "cognito": lambda address: answers(f"http://{address}:4566/_ministack/ready"),
    "redis": takes_commands,
    "postgres": takes_queries,
    "localstack": lambda address: answers(f"http://{address}:4566/_localstack/health"),
}
"""In the order in which they are started again: LocalStack last, for that ends the world."""


async def inspect(exchange: ContainerExchange, service: str, template: str) -> str:
    container = (await exchange.compose("ps", "--all", "--quiet", service)).strip()
    return (await docker("inspect", "--format", template, container)).strip()


async def start_seconds(exchange: ContainerExchange, service: str) -> float:
    """How long the service takes when it is started again."""
    await exchange.compose("stop", service)
    await exchange.compose("start", service)
    started = await inspect(exchange, service, "{{.State.StartedAt}}")
    address = await inspect(exchange, service, "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}")
    async with asyncio.timeout(START_TIMEOUT_S):
        while not await is_ready(service, address):
            await asyncio.sleep(POLL_S)
    return time.time() - seconds(started)


async def is_ready(service: str, address: str) -> bool:
    try:
        return await READY[service](address)
    except FAULTS:
        return False


async def run_seconds(exchange: ContainerExchange, service: str) -> float:
    """How long a container that runs once ran."""
    began, ended = (await inspect(exchange, service, "{{.State.StartedAt}} {{.State.FinishedAt}}")).split()
    return seconds(ended) - seconds(began)


def seconds(timestamp: str) -> float:
    """Since the epoch; Docker writes nine digits where Python reads six."""
    whole, _, fraction = timestamp.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction or 0}")


async def up_seconds(exchange: ContainerExchange) -> float:
    began_s = time.monotonic()
    await exchange.compose("up", "--wait")
    return time.monotonic() - began_s


async def image_sizes(exchange: ContainerExchange, service: str) -> str:
    """Two cells: all of its image, and what one of ours adds to its base."""
    image = await inspect(exchange, service, "{{.Config.Image}}")
    whole, base = await image_bytes(image), await image_bytes(BASE)
    ours = f"{(whole - base) / MEGABYTE:.0f}" if image.startswith(exchange.project) else ""
    return f"{whole / MEGABYTE:.0f} | {ours}"


async def image_bytes(name: str) -> int:
    return int(await docker("image", "inspect", "--format", "{{.Size}}", name))


async def measure() -> None:
    """Print both tables."""
    with tempfile.TemporaryDirectory() as folder:
        exchange = ContainerExchange(copy_to=Path(folder))
        try:
            await exchange.compose("build")
            first_s = await up_seconds(exchange)
            bootstrap_s, seed_s = await run_seconds(exchange, "bootstrap"), await run_seconds(exchange, "seed")
            print("| container | image, MB | of which ours, MB | start to ready, s |")
            print("| --- | --- | --- | --- |")
            for service in READY:
                sizes = await image_sizes(exchange, service)
                print(f"| {service} | {sizes} | {await start_seconds(exchange, service):.1f} |", flush=True)
            sizes = await image_sizes(exchange, "bootstrap")
            print(f"| bootstrap, in a fresh world, to its end | {sizes} | {bootstrap_s:.1f} |")
            print(f"| seed, in a fresh world, to its end | {sizes} | {seed_s:.1f} |")
            fresh_s = await up_seconds(exchange)
            again_s = await up_seconds(exchange)
            print("\n| `docker compose up --wait` | s |\n| --- | --- |")
            print(f"| in an empty clone, images built | {first_s:.0f} |")
            print(f"| after a restart of LocalStack: a fresh world | {fresh_s:.0f} |")
            print(f"| when all runs already | {again_s:.0f} |")
        finally:
            await exchange.remove()


async def main() -> None:
    reason = await why_not()
    if reason is not None:
        sys.exit(f"no exchange in containers: {reason}")
    await end_strays()
    try:
        await measure()
    except DockerError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    asyncio.run(main())
