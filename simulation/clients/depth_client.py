"""The documented reference client, as a module: what readers copy is what tests and simulation run."""

import importlib.util
from pathlib import Path

_PATH = Path(__file__).parents[2] / "docs" / "depth_client.py"
_SPEC = importlib.util.spec_from_file_location("depth_client", _PATH)
assert _SPEC is not None and _SPEC.loader is not None
depth_client = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(depth_client)
