"""An exchange in containers, driven as a person does: by `docker compose`, and by its public API."""

import asyncio
import json
import os
import shutil
import socket
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
BUILT_FROM = ("libs", "services", "twin")
BASE_IMAGES = ("python:3.13-slim", "postgres:17", "redis:8", "localstack/localstack:4.14.0")
OURS = ("gateway", "matcher", "persister", "fanout", "twin", "cognito")
PROJECT = "crossbook-compose"
"""Followed by the process id of the test run, so that runs do not meet and a killed one's containers can be known."""
PROBE_TIMEOUT_S = 20.0


class DockerError(Exception):
    """Docker did not do what it was asked; the message holds what it said."""


async def docker(*arguments: str, environment: dict[str, str] | None = None, directory: Path = ROOT) -> str:
    """Run a command of Docker's; all that it printed. Raises DockerError."""
    process = await asyncio.create_subprocess_exec(
        *("docker", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | (environment or {}),
        cwd=directory,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise DockerError(f"docker {' '.join(arguments)}: {output.decode().strip()}")
    return output.decode()


async def why_not() -> str | None:
    """Why no exchange can be started here, None when one can: nothing is ever downloaded by a test."""
    if shutil.which("docker") is None:
        return "docker is not installed"
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            await docker("compose", "version")
            for image in BASE_IMAGES:
                await docker("image", "inspect", image)
    except TimeoutError:
        return "the Docker engine does not answer"
    except DockerError as error:
        return str(error).splitlines()[-1]
    return None


async def end_strays() -> None:
    """Remove what test runs left that were killed."""
    running = {found["Name"] for found in json.loads(await docker("compose", "ls", "--all", "--format", "json"))}
    built = await docker("image", "ls", "--format", "{{.Repository}}")
    for project in running | {repository.partition("/")[0] for repository in built.split()}:
        name, _, pid = project.rpartition("-")
        if name == PROJECT and pid.isdecimal() and not psutil.pid_exists(int(pid)):
            await docker("compose", "--project-name", project, "down", "--volumes", "--timeout", "5")
            await remove_images(project)


async def remove_images(project: str) -> None:
    """All that Compose built for the project, tagged or not."""
    built = await docker("image", "ls", "--quiet", "--filter", f"label=com.docker.compose.project={project}")
    if built:
        await docker("image", "rm", "--force", *set(built.split()))


class ContainerExchange:
    """A compose project of its own: names, ports, images and volumes that no other one has.

    It is built from a copy of what a clone holds, so that a test may change a source file.
    """

    def __init__(self, *, copy_to: Path) -> None:
        self.tree = copy_to
        for name in BUILT_FROM:
            shutil.copytree(ROOT / name, self.tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("compose.yaml", ".dockerignore"):
            shutil.copy(ROOT / name, self.tree / name)
        self.project = f"{PROJECT}-{os.getpid()}"
        gateway_port, fanout_port, aws_port = _free_ports(3)
        self.gateway_url = f"http://127.0.0.1:{gateway_port}"
        self._environment = {
            "COMPOSE_PROJECT_NAME": self.project,
            "COMPOSE_PROFILES": "",
            "COMPOSE_FILE": "compose.yaml",
            "IMAGES": self.project,
            "GATEWAY_PORT": str(gateway_port),
            "FANOUT_PORT": str(fanout_port),
            "AWS_PORT": str(aws_port),
        }

    async def compose(self, *arguments: str) -> str:
        """`docker compose` in this project; all that it printed. Raises DockerError."""
        return await docker("compose", *arguments, environment=self._environment, directory=self.tree)

    async def command_line(self, *arguments: str) -> str:
        """`crossbook` in a container beside the exchange. Raises DockerError."""
        return await self.compose("run", "--rm", "--no-deps", "--no-TTY", "crossbook", *arguments)

    async def kill(self, service: str) -> None:
        """`kill -9`, and start it again as it was: Docker's restart policy takes a kill by Docker for a stop."""
        await self.compose("kill", "--signal", "KILL", service)
        await self.compose("up", "--detach", "--wait", "--no-deps", service)

    async def bootstrap_said(self) -> str:
        """The last words of the last bootstrap."""
        return (await self.compose("logs", "--no-log-prefix", "bootstrap")).strip()

    async def sql(self, statement: str) -> str:
        """Run it in the database that all worlds share; the rows, without decoration."""
        command = ("psql", "-qAt", "-U", "crossbook", "-d", "crossbook", "-c", statement)
        return (await self.compose("exec", "--no-TTY", "postgres", *command)).strip()

    async def image_ids(self) -> dict[str, str]:
        """Of our own images, by short name."""
        names = [f"{self.project}/{name}" for name in OURS]
        output = await docker("image", "inspect", "--format", "{{.Id}}", *names)
        return dict(zip(OURS, output.split(), strict=True))

    async def remove(self) -> None:
        """Containers, network, volumes, images: nothing stays."""
        await self.compose("--profile", "tools", "down", "--volumes", "--timeout", "5", "--remove-orphans")
        await remove_images(self.project)


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now. They are kept over restarts, which ports that Docker chooses are not."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
