"""The contract as JSON and as a page. The page's scripts come from a package, not from another host."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import orjson
from aiohttp import web

from exchange_gateway.problems import Code, ProblemError
from exchange_gateway.rest.contract import document

_KINDS: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_PAGE: Final = "page.html"
_OWN_FILES: Final = (_PAGE, "start.js")
_PACKAGE: Final = "flask_swagger_ui"
"""Ships Swagger UI as it was released. It is found, not imported: no Flask is needed for three files."""
_PACKAGE_FILES: Final = ("swagger-ui.css", "swagger-ui-bundle.js")
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "public, max-age=3600",
}


class DocumentRoutes:
    """Public: whoever may call the gateway may read how."""

    def routes(self) -> list[web.RouteDef]:
        """For the application's router."""
        return [
            web.get("/api/v1/openapi.json", self.contract),
            web.get("/docs", self.page),
            web.get("/docs/{file}", self.file),
        ]

    async def contract(self, _: web.Request) -> web.Response:
        """The OpenAPI document."""
        return web.Response(body=_contract_json(), content_type="application/json")

    async def page(self, _: web.Request) -> web.Response:
        """The document as a page, on which requests can be tried out."""
        return _file(_PAGE)

    async def file(self, request: web.Request) -> web.Response:
        """What the page loads."""
        return _file(request.match_info["file"])


@cache
def _contract_json() -> bytes:
    return orjson.dumps(document())


@cache
def _files() -> dict[str, bytes]:
    """All files of the page by name: some two megabytes, read once."""
    package = find_spec(_PACKAGE)
    assert package is not None and package.origin is not None, f"{_PACKAGE} is not installed"
    folders = (
        (Path(__file__).parents[1] / "documentation", _OWN_FILES),
        (Path(package.origin).parent / "dist", _PACKAGE_FILES),
    )
    return {name: (folder / name).read_bytes() for folder, names in folders for name in names}


def _file(name: str) -> web.Response:
    body = _files().get(name)
    if body is None:
        raise ProblemError(Code.NOT_FOUND, "nothing is here")
    kind = _KINDS[Path(name).suffix]
    return web.Response(body=body, content_type=kind, charset="utf-8", headers=_HEADERS)
