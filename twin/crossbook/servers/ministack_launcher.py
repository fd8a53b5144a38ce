"""Runs MiniStack with one of its slow paths made short: `python -P ministack_launcher.py`, with its own interpreter.

To answer a Query, MiniStack 1.5.33 parses the condition anew for every item under the partition key. A partition's
journal lies under one key and only grows: at some ten thousands of slots every page of it takes longer than a call may
last, and an exchange that has run for a day could not start again. DynamoDB seeks to where the page begins. So here a
query for what lies behind a number is answered by MiniStack's own handler, which is shown no more than its page.
"""

import heapq
import re
from collections.abc import Callable
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


if __name__ == "__main__":
    from ministack import app  # type: ignore[import-not-found,unused-ignore]
    from ministack.services import dynamodb  # type: ignore[import-not-found,unused-ignore]

    dynamodb._query = seeking(dynamodb._query)
    app.main()
