"""The table of the deployment's design, row by row, each with what must be found in the templates.

A row is the promise in words, and for every resource that keeps it a query with the very numbers. The tests demand that
each query finds as many as it says; docs/aws.md is written from the same queries. One file a layer.
"""

from typing import Final

from tests.infra.design.api import API
from tests.infra.design.cache import CACHE
from tests.infra.design.data import DATA
from tests.infra.design.edge import EDGE
from tests.infra.design.finds import Find, Row
from tests.infra.design.network import NETWORK
from tests.infra.design.operations import OPERATIONS
from tests.infra.design.security import SECURITY
from tests.infra.design.services import SERVICES

ROWS: Final = (*NETWORK, *EDGE, *API, *SERVICES, *CACHE, *DATA, *SECURITY, *OPERATIONS)

__all__ = ["ROWS", "Find", "Row"]
