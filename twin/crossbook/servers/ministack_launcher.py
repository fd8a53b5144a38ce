"""Runs MiniStack with a slow path made short, and a gap closed: `python -P ministack_launcher.py`, with its own
interpreter.

To answer a Query, MiniStack 1.5.33 parses the condition anew for every item under the partition key. A partition's
journal lies under one key and only grows: at some ten thousands of slots every page of it takes longer than a call may
last, and an exchange that has run for a day could not start again. DynamoDB seeks to where the page begins. So here a
query for what lies behind a number is answered by MiniStack's own handler, which is shown no more than its page.

A receive whose connection is gone goes on waiting there, as any server's may, and takes the next message, whose group
then stands still until its visibility runs out. SQS gives it to who asks again with the attempt's id; MiniStack passes
the id over. So here the attempts are remembered.
"""

import asyncio
import heapq
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from types import FunctionType
from typing import Any

BEHIND_A_NUMBER = re.compile(r"(#\w+) = (:\w+) AND (#\w+) > (:\w+)")

Request = dict[str, Any]
Table = dict[str, Any]


def page_of(table: Table, request: Request) -> Table | None:
    """The table with those items alone that the request's page can hold, and one that tells whether there is more.
    None: the request is of another kind. `table["items"]` maps the digits of a partition key to those of a sort key to
    the item."""
    condition = BEHIND_A_NUMBER.fullmatch(request.get("KeyConditionExpression", ""))
    limit = request.get("Limit")
    if condition is None or limit is None or {"IndexName", "ScanIndexForward"} & request.keys():
        return None
    hash_name, hash_value, sort_name, sort_value = condition.groups()
    names, values = request.get("ExpressionAttributeNames", {}), request.get("ExpressionAttributeValues", {})
    if (names.get(hash_name), names.get(sort_name)) != (table["pk_name"], table["sk_name"]):
        return None
    key, after = _whole(values.get(hash_value)), _whole(values.get(sort_value))
    reached = _whole(request.get("ExclusiveStartKey", {}).get(table["sk_name"]))
    if key is None or after is None:
        return None
    under = table["items"].get(str(key), {})
    if not all(map(str.isdigit, under)):
        return None
    start = after if reached is None else max(after, reached)
    shown = heapq.nsmallest(limit + 1, (number for number in map(int, under) if number > start))
    return table | {"items": {str(key): {str(number): under[str(number)] for number in shown}}}


def _whole(attribute: Any) -> int | None:
    digits = attribute.get("N") if isinstance(attribute, dict) else None
    return int(digits) if isinstance(digits, str) and digits.isdigit() else None


def seeking(query: FunctionType) -> Callable[[Request], Any]:
    """MiniStack's handler of Query, on the page alone where there is one: a copy of it that finds another table under
    the name, so that what it keeps stays untouched."""

    def answer(request: Request) -> Any:
        name = request.get("TableName")
        table = query.__globals__["_tables"].get(name) if isinstance(name, str) else None
        page = None if table is None else page_of(table, request)
        if page is None:
            return query(request)
        return FunctionType(query.__code__, query.__globals__ | {"_tables": {name: page}})(request)

    return answer


Receive = Callable[[Request, str], Awaitable[Any]]
ATTEMPTS_MAX = 1_000


def remembering(receive: Receive, queue_at: Callable[[str], dict[str, Any]]) -> Receive:
    """MiniStack's handler of ReceiveMessage: a ReceiveRequestAttemptId that was seen before waits with the call that
    brought it first and gets the same messages, invisible from now on for the queue's time, as long as none of them was
    deleted or has become visible since. `queue_at` finds a queue by its URL."""
    attempts: OrderedDict[tuple[str, str], asyncio.Future[Any]] = OrderedDict()

    async def answer(request: Request, url: str) -> Any:
        attempt_id = request.get("ReceiveRequestAttemptId")
        if attempt_id is None:
            return await receive(request, url)
        url = request.get("QueueUrl", url)
        attempt = attempts.get((url, attempt_id))
        if attempt is None or not await _is_in_flight(attempt, queue_at(url)):
            attempt = attempts[url, attempt_id] = asyncio.ensure_future(receive(request, url))
            if len(attempts) > ATTEMPTS_MAX:
                attempts.popitem(last=False)
        return await asyncio.shield(attempt)

    return answer


async def _is_in_flight(attempt: "asyncio.Future[Any]", queue: dict[str, Any]) -> bool:
    """Wait for what the attempt brought; whether all of it is as it was then, and there is any."""
    await asyncio.wait([attempt])
    if attempt.exception() is not None:
        return False
    handles = {one["ReceiptHandle"] for one in attempt.result().get("Messages", [])}
    now = time.time()
    messages = [
        one for one in queue["messages"] if one.get("receipt_handle") in handles and one.get("visible_at", 0) > now
    ]
    if not messages or len(messages) < len(handles):
        return False
    for one in messages:
        one["visible_at"] = now + int(queue["attributes"]["VisibilityTimeout"])
    return True


if __name__ == "__main__":
    from ministack import app  # type: ignore[import-not-found,unused-ignore]
    from ministack.services import dynamodb, sqs  # type: ignore[import-not-found,unused-ignore]

    dynamodb._query = seeking(dynamodb._query)
    sqs._HANDLERS["ReceiveMessage"] = remembering(sqs._HANDLERS["ReceiveMessage"], sqs._get_q)
    app.main()
