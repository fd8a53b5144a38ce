"""docs/aws.md: what keeps which row of the design. `make aws-docs` writes it, and a test says when it is stale."""

import tempfile
from collections import defaultdict
from itertools import groupby
from pathlib import Path
from typing import Final

from tests.infra.assembly import ROOT, Assembly, Synth
from tests.infra.design import ROWS, Row

DOCUMENT: Final = ROOT / "docs" / "aws.md"
_SHOWN: Final = 6
_HEAD: Final = """\
# On AWS

`infra/` deploys the exchange to us-east-1, a stack a layer and a stack a service; [infra/README.md](../infra/README.md)
says how. This table is made from the templates of `prod` by `make aws-docs`: every row of the design with the resources
that keep it (stack: logical ids), found by the queries of `tests/infra/design.py`, which hold the numbers. A test fails
when it is stale.
"""


def document(assembly: Assembly) -> str:
    """The whole page."""
    parts = [_HEAD]
    for layer, rows in groupby(ROWS, key=lambda row: row.layer):
        lines = [f"| {row.promise} | {_kept_by(row, assembly)} |" for row in rows]
        parts.append(
            "\n".join([f"## {layer[0].upper()}{layer[1:]}", "", "| design | resources |", "| --- | --- |", *lines])
            + "\n"
        )
    count = len(assembly.resources)
    parts.append(f"{count} resources in {len(assembly.templates)} stacks.\n")
    return "\n".join(parts)


def _kept_by(row: Row, assembly: Assembly) -> str:
    ids: dict[str, dict[str, None]] = defaultdict(dict)
    for find in row.finds:
        for resource in find.found(assembly):
            ids[resource.stack][resource.logical_id] = None
    return "; ".join(f"{stack}: {_listed(list(names))}" for stack, names in ids.items())


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(f"`{name}`" for name in names[:_SHOWN]) + more


def main() -> None:
    """Synthesize and write."""
    with tempfile.TemporaryDirectory() as folder:
        assembly = Synth(Path(folder) / "cdk.out", environment="prod").assembly()
    DOCUMENT.write_text(document(assembly))


if __name__ == "__main__":
    main()
