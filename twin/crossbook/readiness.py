"""Asking a part of the twin whether it is ready."""

import asyncio

import aiohttp

from crossbook.ports import LOOPBACK

PROBE_TIMEOUT_S = 2.0


async def takes_connections(port: int) -> bool:
    """Whether something listens on the port."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            _, writer = await asyncio.open_connection(LOOPBACK, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def answers_ok(port: int, path: str) -> bool:
    """Whether a GET of the path is answered by 200."""
    timeout = aiohttp.ClientTimeout(total=PROBE_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"http://{LOOPBACK}:{port}{path}") as response,
        ):
            return response.status == 200
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False


async def is_ready(port: int, ready_path: str) -> bool:
    """Whether the part on the port is ready, by its ready path or, without one, by taking connections."""
    return await (answers_ok(port, ready_path) if ready_path else takes_connections(port))
