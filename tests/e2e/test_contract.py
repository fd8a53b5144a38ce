"""schemathesis on a running exchange: whatever is sent, right or wrong, the answer is one that the contract describes.

Deterministic: the same requests in every run, but for the ids that the exchange makes. An exchange of its own, since an
operator's requests halt symbols.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from crossbook.clients.api_client import Account, ApiClient
from crossbook.twin import Twin, TwinOptions

PASSWORD = "Correct-horse-1"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
)
ENDS_THE_SESSION = ("--exclude-operation-id", "logOut")
OPERATORS = "/admin/"
RUN_MAX_S = 400.0
"""Minutes on a machine that does much else; about half a minute on one that does not."""


@pytest.fixture(scope="module")
async def market(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twin]:
    async with Twin(tmp_path_factory.mktemp("twin"), TwinOptions.private()) as started:
        yield started


async def fuzz(folder: Path, location: str, *arguments: str, token: str = "") -> tuple[int, str]:
    """What one run of schemathesis returns and says; `token` names who asks, without it nobody."""
    authorization = ("--header", f"Authorization: Bearer {token}") if token else ()
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("schemathesis")), "run", location, "--no-color", "--warnings", "off"),
        *("--checks", ",".join(CHECKS), "--generation-deterministic", "--no-shrink", "--request-timeout", "20"),
        *("--suppress-health-check", "all", "--continue-on-failure"),
        *authorization,
        *arguments,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(RUN_MAX_S):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def funded_user(api: ApiClient, operator: Account) -> Account:
    await api.sign_up("fuzz", PASSWORD)
    user = await api.log_in("fuzz", PASSWORD)
    for asset in ("BTC", "USDT"):
        await operator.deposit(user_id=user.user_id, asset=asset, amount="1000000", transfer_id=f"fuzz-{asset}")
    return user


async def test_no_request_gets_an_answer_that_the_contract_does_not_describe(market: Twin, tmp_path: Path) -> None:
    location = f"{market.gateway_url}/api/v1/openapi.json"
    async with ApiClient(market.gateway_url) as api:
        document = await api.call("GET", "/api/v1/openapi.json")
        operator = await api.log_in("operator", market.password)
        user = await funded_user(api, operator)
    runs = await asyncio.gather(
        fuzz(tmp_path, location, "--phases", "examples,fuzzing", "--max-examples", "3"),
        fuzz(
            tmp_path,
            location,
            *("--phases", "examples,coverage,stateful", "--max-examples", "10"),
            *("--exclude-path-regex", OPERATORS, *ENDS_THE_SESSION),
            token=user.token,
        ),
        fuzz(
            tmp_path,
            location,
            *("--phases", "examples,coverage", "--include-path-regex", OPERATORS),
            token=operator.token,
        ),
    )
    for status, output in runs:
        assert status == 0, output
    count = sum(len(item.keys() - {"parameters"}) for item in document["paths"].values())
    assert f"Tested: {count - 1}" in runs[0][1], "all but the one that has given the contract"


async def test_an_answer_that_is_not_described_is_found(market: Twin, tmp_path: Path) -> None:
    async with ApiClient(market.gateway_url) as api:
        document: Any = json.loads(orjson.dumps(await api.call("GET", "/api/v1/openapi.json"), default=float))
    del document["paths"]["/api/v1/instruments/{symbol}"]["get"]["responses"]["404"]
    contract = tmp_path / "openapi.json"
    contract.write_bytes(orjson.dumps(document))
    status, output = await fuzz(
        tmp_path,
        str(contract),
        *("--url", market.gateway_url, "--phases", "fuzzing", "--max-examples", "3"),
        *("--include-operation-id", "getInstrument"),
    )
    assert status == 1 and "Undocumented status code" in output
