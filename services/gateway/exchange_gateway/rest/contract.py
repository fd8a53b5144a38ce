"""The gateway's contract: `openapi.yaml` in this package, an OpenAPI 3.1 document of all that is taken and answered.

YAML, because people write it: comments stand where they are needed, and anchors say once what many places repeat.
What is served has no anchors left and is plain JSON.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

_PIECES = "x-pieces"
"""Where the file keeps what its anchors name; of no use to a reader of the document."""


@cache
def document() -> Mapping[str, Any]:
    """The whole document; not to be changed."""
    text = files("exchange_gateway").joinpath("openapi.yaml").read_bytes()
    content: dict[str, Any] = yaml.load(text, Loader=yaml.CSafeLoader)
    del content[_PIECES]
    return content


def resolved(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """The node itself, or what it refers to, together with what it adds to that."""
    while "$ref" in node:
        target: Any = document()
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = {**target, **{name: value for name, value in node.items() if name != "$ref"}}
    return node
