"""The least that an order entry could be: aiohttp that parses the body and answers 202; its argument is a port."""

import sys

import orjson
import uvloop
from aiohttp import web


async def take_order(request: web.Request) -> web.Response:
    body = orjson.loads(await request.read())
    answer = {"order_id": "1", "client_order_id": body.get("client_order_id"), "status": "accepted"}
    return web.Response(body=orjson.dumps(answer), status=202, content_type="application/json")


async def is_ready(_: web.Request) -> web.Response:
    return web.Response(text="ready")


def main() -> None:
    app = web.Application()
    app.router.add_post("/api/v1/order", take_order)
    app.router.add_get("/readyz", is_ready)
    uvloop.install()
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)


if __name__ == "__main__":
    main()
