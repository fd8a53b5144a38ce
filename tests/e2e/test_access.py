"""Nobody reaches what is not his own: every try is made against a whole exchange. docs/access.md is their table."""

import jwt
import pytest

from tests.access import Tries, Try
from tests.e2e.access_world import (
    SYMBOL,
    AccessWorld,
    bearer,
    his_order,
    new_key,
    operate,
    unsigned,
    until_his_has_ended,
)

PROOF = "the exchange"
tries = Tries()

# Everything below is tried by him, a user like any other, on her.
tries.about("Somebody else's orders")


@tries("read by order id", "404 order_not_found")
async def read_by_id(world: AccessWorld) -> str:
    return str(await world.as_him("GET", f"/api/v1/order/{world.hers['order_id']}"))


@tries("read by client id", "404 order_not_found")
async def read_by_client_id(world: AccessWorld) -> str:
    return str(await world.as_him("GET", f"/api/v1/order/by-client-id/{world.hers['client_order_id']}"))


@tries("read by client id in the query", "404 order_not_found")
async def read_by_query(world: AccessWorld) -> str:
    return str(await world.as_him("GET", f"/api/v1/order?client_order_id={world.hers['client_order_id']}"))


@tries("read by its order id given as a client id", "404 order_not_found")
async def read_by_id_as_client_id(world: AccessWorld) -> str:
    return str(await world.as_him("GET", f"/api/v1/order/by-client-id/{world.hers['order_id']}"))


@tries("read, with her user id in headers", "404 order_not_found")
async def read_as_her_by_name(world: AccessWorld) -> str:
    headers = bearer(world.he.token) | {"X-User-Id": world.she.user_id, "X-Forwarded-User": world.she.user_id}
    return str(await world.send("GET", f"/api/v1/order/{world.hers['order_id']}", headers=headers))


@tries("cancel by order id", "404 order_not_found")
async def cancel_by_id(world: AccessWorld) -> str:
    return str(await world.as_him("DELETE", f"/api/v1/order/{world.hers['order_id']}"))


@tries("cancel by client id", "404 order_not_found")
async def cancel_by_client_id(world: AccessWorld) -> str:
    return str(await world.as_him("DELETE", f"/api/v1/order/by-client-id/{world.hers['client_order_id']}"))


@tries("cancel by client id in the query", "404 order_not_found")
async def cancel_by_query(world: AccessWorld) -> str:
    return str(await world.as_him("DELETE", f"/api/v1/order?client_order_id={world.hers['client_order_id']}"))


@tries("amend by order id", "404 order_not_found")
async def amend_by_id(world: AccessWorld) -> str:
    return str(await world.as_him("PATCH", f"/api/v1/order/{world.hers['order_id']}", {"quantity": "0.5"}))


@tries("amend by client id", "404 order_not_found")
async def amend_by_client_id(world: AccessWorld) -> str:
    path = f"/api/v1/order/by-client-id/{world.hers['client_order_id']}"
    return str(await world.as_him("PATCH", path, {"quantity": "0.5"}))


@tries("cancel and amend as items of a batch, by either id", "each item 404 order_not_found")
async def in_a_batch(world: AccessWorld) -> str:
    by_id = {"order_id": world.hers["order_id"]}
    by_client_id = {"client_order_id": world.hers["client_order_id"]}
    items = [{"op": op, **ids} for op in ("cancel", "amend") for ids in (by_id, by_client_id)]
    items = [item | ({"quantity": "0.5"} if item["op"] == "amend" else {}) for item in items]
    reply = await world.as_him("POST", "/api/v1/orders/batch", {"items": items})
    assert len(reply.body["results"]) == 4
    answers = {(result["http_status"], result["problem"]["code"]) for result in reply.body["results"]}
    return ", ".join(f"each item {status} {code}" for status, code in answers)


@tries("cancel all, everywhere and by symbol", "202, his own only")
async def cancel_all(world: AccessWorld) -> str:
    his = await his_order(world)
    for path in (f"/api/v1/orders?symbol={SYMBOL}", "/api/v1/orders"):
        assert (await world.as_him("DELETE", path)).status == 202
    await until_his_has_ended(world, his)
    return "202, his own only"


@tries("cancel all for another user, by a parameter", "400 invalid_value")
async def cancel_all_of_her(world: AccessWorld) -> str:
    return str(await world.as_him("DELETE", f"/api/v1/orders?user_id={world.she.user_id}"))


@tries("the timer that cancels all", "202, his own only")
async def cancel_timer(world: AccessWorld) -> str:
    his = await his_order(world)
    body = {"symbol": SYMBOL, "timeout_s": 1}
    assert (await world.as_him("POST", "/api/v1/orders/cancel-all-after", body)).status == 202
    await until_his_has_ended(world, his)
    return "202, his own only"


@tries("place an order under her client id", "202, an order of his own")
async def same_client_id(world: AccessWorld) -> str:
    his = await his_order(world, client_order_id=world.hers["client_order_id"])
    assert his != world.hers["order_id"]
    assert (await world.as_him("DELETE", f"/api/v1/order/{his}")).status == 202
    await until_his_has_ended(world, his)
    return "202, an order of his own"


tries.about("Somebody else's lists, balances and keys")


@tries("page through orders from a cursor that is her order", "200, his own only")
async def orders_from_her_cursor(world: AccessWorld) -> str:
    own = await his_order(world)
    ids = set()
    for cursor in (world.hers["order_id"], str(int(world.hers["order_id"]) + 1), "9223372036854775807"):
        reply = await world.as_him("GET", f"/api/v1/orders?cursor={cursor}&limit=500")
        ids |= {order["order_id"] for order in reply.body["orders"]}
    assert own in ids and not ids & {world.hers["order_id"], world.sold["order_id"]}
    return "200, his own only"


@tries("a cursor that is no number, or SQL", "400 invalid_value")
async def cursors_that_are_sql(world: AccessWorld) -> str:
    cursors = ("0%20OR%20true", "1'--", "-1", "1~2", "%00")
    paths = [f"/api/v1/orders?cursor={cursor}" for cursor in cursors]
    paths += [f"/api/v1/fills?cursor=1~{SYMBOL}~{cursor}" for cursor in cursors if cursor != "1~2"]
    return ", ".join({str(await world.as_him("GET", path)) for path in paths})


@tries("fills by her order id, whose other side he was", "200, none")
async def fills_of_her_order(world: AccessWorld) -> str:
    for order in (world.hers, world.sold):
        reply = await world.as_him("GET", f"/api/v1/fills?order_id={order['order_id']}")
        assert (reply.status, reply.body["fills"]) == (200, [])
    return "200, none"


@tries("page through fills from a cursor that is a trade with her", "200, his own side only")
async def fills_from_her_cursor(world: AccessWorld) -> str:
    reply = await world.as_him("GET", f"/api/v1/fills?cursor=9000000000000~{SYMBOL}~9000000000000")
    assert {fill["side"] for fill in reply.body["fills"]} == {"buy"}
    assert world.sold["order_id"] not in {fill["order_id"] for fill in reply.body["fills"]}
    return "200, his own side only"


@tries("orders, fills, balances, ledger, keys, with her user id in the query", "400 invalid_value")
async def lists_of_her(world: AccessWorld) -> str:
    names = ("orders", "fills", "balances", "ledger", "api-keys")
    paths = [f"/api/v1/{name}?user_id={world.she.user_id}" for name in names]
    return ", ".join({str(await world.as_him("GET", path)) for path in paths})


@tries("list API keys", "200, his own only")
async def keys_of_her(world: AccessWorld) -> str:
    reply = await world.as_him("GET", "/api/v1/api-keys")
    assert world.his_key.key_id in {key["key_id"] for key in reply.body["api_keys"]}
    assert all(key["key_id"].startswith(world.he.user_id) for key in reply.body["api_keys"])
    return "200, his own only"


@tries("revoke her API key", "404 api_key_not_found")
async def revoke_her_key(world: AccessWorld) -> str:
    return str(await world.as_him("DELETE", f"/api/v1/api-keys/{world.her_key.key_id}"))


tries.about("What operators do")


@tries("list an instrument, deposit, withdraw, halt, as a user", "403 forbidden")
async def operators_routes(world: AccessWorld) -> str:
    return await operate(world, bearer(world.he.token))


@tries("the same with a token in which he named himself an operator", "401 token_invalid")
async def self_made_operator(world: AccessWorld) -> str:
    head, _, signature = world.he.token.split(".")
    claims = jwt.decode(world.he.token, options={"verify_signature": False}) | {"cognito:groups": ["operators"]}
    forged = unsigned({}, claims).split(".")[1]
    return await operate(world, bearer(f"{head}.{forged}.{signature}"))


@tries("the same with no token", "401 token_missing")
async def nobody_operates(world: AccessWorld) -> str:
    return await operate(world, {})


@tries("the same signed with the API key of an operator", "403 forbidden")
async def an_operators_key(world: AccessWorld) -> str:
    key = await new_key(world, world.operator.token, "read", "trade")
    body = {"user_id": world.he.user_id, "asset": "ETH", "amount": "1", "transfer_id": "by-key"}
    return str(await world.by_key(key, "POST", "/api/v1/admin/deposits", body))


@pytest.mark.parametrize("one", tries.all, ids=lambda one: one.act.__name__)
async def test_nobody_reaches_what_is_not_his_own(access_world: AccessWorld, one: Try) -> None:
    assert await one.act(access_world) == one.answer
    await access_world.assert_untouched()
