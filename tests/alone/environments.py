"""Clean virtual environments of one service each: its pinned requirements, the shared libraries, its own sources."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

from crossbook.environment import inherited_environment

ROOT = Path(__file__).parents[2]
TESTS_LOCK = ROOT / "tests" / "alone" / "requirements.lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoneService:
    """A service's name and the Python of its environment. No other service, nor the twin, can be imported there."""

    name: str
    python: Path

    @property
    def package(self) -> str:
        return f"exchange_{self.name}"

    @property
    def environment(self) -> dict[str, str]:
        """This machine's variables; the sources are found by PYTHONPATH."""
        sources = (ROOT / "libs" / "core", ROOT / "libs" / "adapters", ROOT / "services" / self.name)
        return inherited_environment() | {
            "PYTHONPATH": ":".join(map(str, sources)),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
        }

    async def run(self, *arguments: str, timeout_s: float) -> str:
        """What Python with these arguments prints, in the repository's root; a failure shows all it said."""
        return await _run(str(self.python), *arguments, environment=self.environment, timeout_s=timeout_s)


async def build_lone_service(name: str, folder: Path) -> LoneService:
    """Install what the service's lock file pins, and what tests need, into a new environment, from uv's cache."""
    uv = str(Path(sys.prefix) / "bin" / "uv")
    python = folder / "bin" / "python"
    environment = inherited_environment()
    await _run(uv, "venv", "--quiet", "--python", sys.executable, str(folder), environment=environment, timeout_s=60)
    for lock in (ROOT / "services" / name / "requirements.lock", TESTS_LOCK):
        await _run(
            *(uv, "pip", "install", "--quiet", "--python", str(python), "--no-deps", "--require-hashes"),
            *("--only-binary", ":all:", "--compile-bytecode", "-r", str(lock)),
            environment=environment,
            timeout_s=300,
        )
    return LoneService(name=name, python=python)


async def _run(*command: str, environment: dict[str, str], timeout_s: float) -> str:
    running = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(timeout_s):
            output, _ = await running.communicate()
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    assert running.returncode == 0, f"{' '.join(command)}\n{output.decode()}"
    return output.decode()
