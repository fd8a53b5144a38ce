"""Each service imports, starts, stops and passes its own tests with nothing but its pinned requirements.

Run one service's with `pytest tests/alone -k gateway`.
"""

import ast
import asyncio
import signal
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import aiohttp
import pytest

from crossbook.ports import PortAllocator, PortWish
from crossbook.services import Service, services
from crossbook.site import Site
from tests.alone.environments import ROOT, LoneService, build_lone_service
from tests.eventually import eventually

SERVICES = ("gateway", "matcher", "persister", "fanout")
OTHERS_MODULES = {"exchange_persister.migrate"}
"""Run by who deploys, with the persister's extra `migrate`."""
IMPORT_ALL = """
import importlib, importlib.util, pkgutil, sys
package, *foreign = sys.argv[1:]
assert not [name for name in foreign if importlib.util.find_spec(name)], "more than the service is there"
for found in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
    print(importlib.import_module(found.name).__name__) if found.name not in %r else None
print(*sorted(name for name in sys.modules if name.startswith("exchange_adapters.")), sep="\\n")
""" % (OTHERS_MODULES,)  # noqa: UP031 - braces are Python's here


@pytest.fixture(scope="module", params=SERVICES)
async def lone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoneService:
    return await build_lone_service(request.param, tmp_path_factory.mktemp("alone") / request.param)


async def test_all_its_modules_can_be_imported(lone: LoneService) -> None:
    foreign = {"crossbook", *(f"exchange_{name}" for name in SERVICES)} - {lone.package}
    imported = (await lone.run("-W", "error", "-c", IMPORT_ALL, lone.package, *foreign, timeout_s=60)).split()
    package = ROOT / "services" / lone.name / lone.package
    written = {f"{lone.package}.{path.stem}" for path in package.glob("*.py")} - {f"{lone.package}.__init__"}
    assert written - OTHERS_MODULES <= set(imported)
    assert "exchange_adapters.system" in imported and "exchange_adapters.sim" not in imported


async def test_it_starts_gets_ready_and_ends_when_told(lone: LoneService, site: Site, tmp_path: Path) -> None:
    service = next(one for one in services(matchers=1) if one.package == lone.package)
    port = PortAllocator().claim_all((PortWish(name=service.name),), remembered={})[service.name]
    async with _running(lone, service, site, port, tmp_path) as process, aiohttp.ClientSession() as http:

        async def is_ready() -> bool:
            assert process.returncode is None
            with suppress(aiohttp.ClientError):
                async with http.get(f"http://127.0.0.1:{port}/readyz") as response:
                    return response.status == 200
            return False

        await eventually(is_ready, timeout_s=30)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 15) == 0


async def test_its_own_unit_tests_pass(lone: LoneService) -> None:
    output = await lone.run(
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "--confcutdir=tests/unit", f"tests/unit/{lone.name}"),
        timeout_s=300,
    )
    assert " passed" in output and " skipped" not in output


@pytest.mark.parametrize(
    "folder",
    ["libs/core", "libs/adapters", *(f"services/{name}" for name in SERVICES)],
    ids=lambda name: Path(name).name,
)
def test_what_it_imports_it_also_requires(folder: str) -> None:
    project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
    extras = project.get("optional-dependencies", {}).values()
    required = {_distribution(requirement) for requirement in [*project["dependencies"], *chain(*extras)]}
    known = packages_distributions()
    package = project["name"].replace("-", "_")
    for path in sorted((ROOT / folder / package).rglob("*.py")):
        for imported in _imported_packages(path) - {package}:
            providers = {_distribution(provider) for provider in known.get(imported, [])}
            assert not providers or providers & required, f"{path.name} imports {imported}: require {providers}"


@asynccontextmanager
async def _running(
    lone: LoneService, service: Service, site: Site, port: int, folder: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    spec = service.spec(site, port=port, log_level="info", directory=folder)
    process = await asyncio.create_subprocess_exec(
        str(lone.python), *spec.command[1:], cwd=folder, env={**spec.environment, **lone.environment}
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _distribution(requirement: str) -> str:
    name = requirement.partition(">")[0].partition("[")[0]
    return name.strip().lower().replace("_", "-")


def _imported_packages(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in _imports(ast.parse(path.read_text()))}


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
