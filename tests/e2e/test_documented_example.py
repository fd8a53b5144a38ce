"""The program in docs/api.md that signs requests does what it says, as it stands there."""

import asyncio
import os
import re
import sys
from pathlib import Path

from tests.e2e.access_world import AccessWorld, new_key

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "api.md"


async def test_the_documented_program_places_an_order_and_lists_it(access_world: AccessWorld) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert len([line for line in program.splitlines() if line.strip()]) <= 16
    key = await new_key(access_world, access_world.he.token, "read", "trade")
    environment = os.environ | {
        "CROSSBOOK_GATEWAY_URL": access_world.twin.gateway_url,
        "KEY_ID": key.key_id,
        "SECRET": key.secret,
        "no_proxy": "127.0.0.1",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    placed, listed = output.decode().splitlines()
    assert "'status': 'accepted'" in placed and "'orders': [" in listed
    assert (await access_world.as_him("DELETE", "/api/v1/orders?symbol=BTCUSDT")).status == 202
