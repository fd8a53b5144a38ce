"""Style that a test can hold: what the core must not use, how long a file may be, what must not be committed."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from exchange_core import topology

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("libs", "services", "twin", "bench", "simulation")
MAX_LINES = 400
BANNED_IN_CORE = (
    r"\btime\.time",
    r"\bdatetime\.(now|today|utcnow)\(",
    r"\buuid[14]?\b",
    r"\brandom\b",
    r"\bhash\(",
    r"\bprint\(",
    r"\bos\.environ\b",
    r"\bawait\b",
    r"\bfloat\(",
    r"\bimport (asyncio|logging|structlog|socket|threading)\b",
)
ESCAPE = "# tidy: "


def sources(*folders: str) -> list[Path]:
    return sorted(
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if ".venv" not in path.parts and "versions" not in path.parts
    )


@pytest.mark.parametrize("path", sources("libs/core"), ids=lambda path: path.name)
def test_the_core_uses_no_clock_no_randomness_and_no_io(path: Path) -> None:
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if ESCAPE in line:
            assert line.split(ESCAPE)[1].strip(), f"{path}:{number} escapes without a reason"
            continue
        code = line.split("#")[0]
        for banned in BANNED_IN_CORE:
            assert not re.search(banned, code), f"{path}:{number} uses {banned}: {line.strip()}"


@pytest.mark.parametrize("path", sources(*PACKAGES), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_stays_short_and_says_what_it_is(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_LINES, f"{path} is too long to hold in one's head"
    tree = ast.parse(text)
    assert not tree.body or ast.get_docstring(tree), f"{path} has no docstring"
    assert path.stem not in {"utils", "common", "helpers", "manager"}, f"{path} has a name that says nothing"


def test_no_float_in_an_annotation_of_the_core() -> None:
    for path in sources("libs/core"):
        for node in ast.walk(ast.parse(path.read_text())):
            is_seconds = isinstance(node, ast.arg) and node.arg.endswith("_s")
            if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None and not is_seconds:
                assert "float" not in ast.unparse(node.annotation), f"{path}:{node.lineno}"


def test_nothing_is_committed_that_names_a_machine_or_a_registry() -> None:
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    if files.returncode:
        pytest.skip("not a git checkout: nothing to look through")
    registry = re.compile(r"https?://[^\s\"']+/(simple|packages)/|https?://[^\s\"']+\.(whl|tgz|deb)\b")
    for name in files.stdout.splitlines():
        path = ROOT / name
        if not path.is_file() or path.suffix in {".png", ".svg"}:
            continue
        text = path.read_text(errors="replace")
        assert not registry.search(text), f"{name} names a package registry"
        assert str(ROOT) not in text, f"{name} holds this machine's path"


def test_a_repeat_cannot_outlive_the_memory_of_its_order() -> None:
    """DESIGN rule 5, as the numbers stand: the window covers age, sweep lag and the longest an order may wait."""
    age_ms = topology.COMMAND_MAX_AGE_MS
    assert topology.DEDUP_WINDOW_MS > age_ms + topology.SWEEP_LAG_LIMIT_MS + topology.ORDER_MAX_AGE_MS
    assert topology.HEARTBEAT_MS * 2 < topology.SWEEP_LAG_LIMIT_MS
    assert topology.COMMAND_VISIBILITY_S * topology.COMMAND_MAX_RECEIVES * 1000 < age_ms
