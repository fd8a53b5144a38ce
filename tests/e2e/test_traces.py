"""One trace shows an order from its POST to its settlement, across four processes, a queue, a journal and a stream."""

import secrets

from crossbook.clients.api_client import ApiClient
from crossbook.trace_command import collected, tree_lines
from crossbook.twin import Twin
from tests.eventually import eventually

WAYS = {
    "gateway": {"POST /api/v1/order", "auth", "validate", "wallet", "enqueue"},
    "matcher": {"slot", "orders queue", "match", "journal", "stream"},
    "persister": {"settlement", "executions stream", "wallets", "archive", "rows", "commit"},
}


async def test_an_orders_way_is_one_trace(twin: Twin) -> None:
    trace_id = secrets.token_hex(16)
    order = {"symbol": "BTCUSDT", "side": "buy", "type": "limit", "price": "49000", "quantity": "0.001"}
    async with ApiClient(twin.gateway_url) as api:
        alice = await api.log_in("alice", twin.password)
        headers = {
            "Authorization": f"Bearer {alice.token}",
            "traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01",
        }
        async with api.session.post(f"{twin.gateway_url}/api/v1/order", json=order, headers=headers) as answer:
            assert answer.status == 202
            assert answer.headers["X-Trace-Id"] == trace_id
            placed = await answer.json()
        await alice.cancel(placed["order_id"])

    def ways() -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for span in twin.traces.trace(trace_id):
            found.setdefault(span.service, set()).add(span.name)
        return found

    await eventually(lambda: all(names <= ways().get(service, set()) for service, names in WAYS.items()))
    spans = twin.traces.trace(trace_id)
    (root,) = [span for span in spans if span.name == "POST /api/v1/order"]
    for name in ("slot", "settlement"):
        (span,) = [span for span in spans if span.name == name]
        assert span.parent_id == root.span_id
    (slot,) = {span.attributes["slot"] for span in spans if "slot" in span.attributes}
    assert slot > 0
    shown = "\n".join(tree_lines(await collected(twin.traces.url, trace_id)))
    assert all(name in shown for names in WAYS.values() for name in names)


async def test_what_is_not_sampled_leaves_no_trace(twin: Twin) -> None:
    trace_id = secrets.token_hex(16)
    async with ApiClient(twin.gateway_url) as api:
        headers = {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-00"}
        async with api.session.get(f"{twin.gateway_url}/api/v1/time", headers=headers) as answer:
            assert answer.headers["X-Trace-Id"] == trace_id
    assert twin.traces.trace(trace_id) == []
