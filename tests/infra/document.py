"""docs/aws.md, what keeps which row of the design, and the table of docs/cost.md: `make aws-docs` writes both, and a
test says when one is stale."""

import re
import tempfile
from collections import defaultdict
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Final

from crossbook.costs.bill import bill, read_prices
from crossbook.costs.fleet import read_fleet
from crossbook.costs.profile import profiles
from crossbook.costs.report import comparison_lines
from tests.infra.assembly import ROOT, Assembly, Synth
from tests.infra.design import ROWS, Row

DOCUMENT: Final = ROOT / "docs" / "aws.md"
COSTS: Final = ROOT / "docs" / "cost.md"
_COST_TABLE: Final = re.compile(r"^\| USD a month .*?(?=\n\n)", re.MULTILINE | re.DOTALL)
_SHOWN: Final = 6
_HEAD: Final = """\
# On AWS

`infra/` deploys the exchange to us-east-1, a stack a layer and a stack a service; [infra/README.md](../infra/README.md)
says how. This table is made from the templates of `prod` by `make aws-docs`: every row of the design with the resources
that keep it (stack: logical ids), found by the queries of `tests/infra/design/`, which hold the numbers. A test fails
when it is stale.

What the templates say is checked; that AWS does it was not seen, for nothing here was ever deployed to an account. An
emulated cloud takes what the stacks `keys`, `identity`, `messaging`, `tables`, `buckets`, `artifacts` and `persister`
make, and the exchange trades on it (`make infra-deploy`).
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


def with_costs(page: str, assembly: Assembly) -> str:
    """The page about costs with the table as the templates, the prices and the profiles have it now."""
    fleet, prices = read_fleet(assembly.directory), read_prices()
    table = "\n".join(comparison_lines([bill(fleet, profile, prices) for profile in profiles().values()]))
    replaced, count = _COST_TABLE.subn(lambda _: table, page)
    assert count == 1, "the page has one such table"
    return replaced


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
    with tempfile.TemporaryDirectory() as folder, closing(Synth(Path(folder) / "out", "prod")) as synth:
        assembly = synth.assembly("prod")
        DOCUMENT.write_text(document(assembly))
        COSTS.write_text(with_costs(COSTS.read_text(), assembly))


if __name__ == "__main__":
    main()
