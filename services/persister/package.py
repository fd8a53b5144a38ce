"""Packs the persister for AWS Lambda: `python services/persister/package.py --output build/persister.zip`.

In it are the wheels that `requirements.lock` pins, for the platform and the Python named, and our own sources. The same
inputs give the same bytes: entries are sorted and bear no time, and what an installer writes down is left out. Left out
as well: descriptions of AWS services that the persister does not call (most of the SDK's size), the simulated adapters,
and the migrations, which are run by who deploys.
"""

import argparse
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
HANDLER: Final = "exchange_persister.lambda_handler.handler"
PYTHON_VERSION: Final = "3.13"
PLATFORM: Final = "x86_64-manylinux_2_28"
"""What Lambda's runtime of this Python runs on (Amazon Linux 2023)."""

_SOURCES: Final = (
    "libs/core/exchange_core",
    "libs/adapters/exchange_adapters",
    "services/persister/exchange_persister",
)
_NOT_OURS: Final = {"exchange_adapters/sim", "exchange_persister/migrations", "exchange_persister/migrate.py"}
_AWS_SERVICES: Final = {"dynamodb", "kinesis", "s3", "secretsmanager", "sts"}
_INSTALLERS_NOTES: Final = {"INSTALLER", "RECORD", "REQUESTED", "direct_url.json", "uv_cache.json"}
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can hold."""
_READABLE: Final = 0o100644 << 16
_COMPRESSION_LEVEL: Final = 6
"""Level 9 takes five times as long for one percent."""


def package(output: Path, *, python_version: str = PYTHON_VERSION, platform: str | None = PLATFORM) -> None:
    """Write the zip. `platform` is one of uv's (None: this machine's). Raises CalledProcessError when uv fails."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="persister-") as folder:
        _install(Path(folder), python_version, platform)
        entries = dict(_wheels(Path(folder))) | dict(_sources())
        with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED, compresslevel=_COMPRESSION_LEVEL) as archive:
            for name in sorted(entries):
                entry = zipfile.ZipInfo(name, _EPOCH)
                entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, 3, _READABLE
                archive.writestr(entry, entries[name].read_bytes())


def _install(target: Path, python_version: str, platform: str | None) -> None:
    uv = Path(sys.prefix) / "bin" / "uv"
    command = [str(uv), "pip", "install", "--quiet", "--target", str(target), "--python-version", python_version]
    command += ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--link-mode", "copy"]
    command += ["--python-platform", platform] if platform else []
    lock = ROOT / "services" / "persister" / "requirements.lock"
    subprocess.run([*command, "--python", sys.executable, "-r", str(lock)], check=True)  # noqa: S603


def _wheels(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in _files(folder):
        match path.relative_to(folder).parts:
            case ("bin" | ".lock", *_):
                continue
            case (str(top), str(name)) if top.endswith(".dist-info") and name in _INSTALLERS_NOTES:
                continue
            case ("botocore" | "boto3", "data", str(service), _, *_) if service not in _AWS_SERVICES:
                continue
        yield path.relative_to(folder).as_posix(), path


def _sources() -> Iterator[tuple[str, Path]]:
    for source in map(ROOT.joinpath, _SOURCES):
        for path in _files(source):
            name = path.relative_to(source.parent).as_posix()
            if not any(name == other or name.startswith(f"{other}/") for other in _NOT_OURS):
                yield name, path


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def main() -> None:
    """Pack, and say how large it became."""
    parser = argparse.ArgumentParser(description="Packs the persister for AWS Lambda.")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "persister.zip")
    parser.add_argument("--python-version", default=PYTHON_VERSION)
    parser.add_argument("--platform", default=PLATFORM, help="as uv names it; aarch64-manylinux_2_28 for Graviton")
    arguments = parser.parse_args()
    package(arguments.output, python_version=arguments.python_version, platform=arguments.platform)
    with zipfile.ZipFile(arguments.output) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
        count = len(archive.infolist())
    packed = arguments.output.stat().st_size
    sys.stdout.write(
        f"{arguments.output}: {packed / 1e6:.1f} MB, {unpacked / 1e6:.1f} MB unpacked, {count} files, "
        f"Python {arguments.python_version} on {arguments.platform}\n"
    )


if __name__ == "__main__":
    main()
