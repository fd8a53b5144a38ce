"""A query for what lies behind a number sees its page only, and is answered as if it saw everything."""

from typing import Any

import pytest

from crossbook.servers.ministack_launcher import page_of, seeking

SLOTS = 250

_tables: dict[str, Any] = {}
"""As in the emulator: the handler finds its table in the globals of its module."""


def query(request: dict[str, Any]) -> tuple[list[int], int]:
    """MiniStack's way: looks at every item; returns the page, and how many items it looked at."""
    items = _tables[request["TableName"]]["items"].get(request["ExpressionAttributeValues"][":p"]["N"], {})
    after = int(request["ExpressionAttributeValues"][":n"]["N"])
    if "ExclusiveStartKey" in request:
        after = max(after, int(request["ExclusiveStartKey"]["n"]["N"]))
    behind = sorted(int(item["n"]["N"]) for item in items.values() if int(item["n"]["N"]) > after)
    return behind[: request["Limit"]], len(items)


@pytest.fixture(autouse=True)
def journal() -> dict[str, Any]:
    _tables["journal"] = {
        "pk_name": "partition",
        "sk_name": "n",
        "items": {
            str(partition): {str(n): {"partition": {"N": str(partition)}, "n": {"N": str(n)}} for n in range(1, SLOTS)}
            for partition in range(2)
        },
    }
    table: dict[str, Any] = _tables["journal"]
    return table


def behind(after: int, limit: int, **further: Any) -> dict[str, Any]:
    return {
        "TableName": "journal",
        "KeyConditionExpression": "#p = :p AND #n > :n",
        "ExpressionAttributeNames": {"#p": "partition", "#n": "n"},
        "ExpressionAttributeValues": {":p": {"N": "1"}, ":n": {"N": str(after)}},
        "Limit": limit,
        **further,
    }


@pytest.mark.parametrize(
    ("after", "limit"), [(0, 1), (0, 100), (9, 2), (98, 5), (200, 100), (248, 1), (249, 9), (500, 3)]
)
def test_the_page_is_the_same_and_little_more_than_it_was_looked_at(after: int, limit: int) -> None:
    page, looked_at = seeking(query)(behind(after, limit))
    assert page == query(behind(after, limit))[0]
    assert looked_at <= limit + 1


def test_the_next_page_goes_on_where_the_last_one_ended() -> None:
    request = behind(5, 10, ExclusiveStartKey={"partition": {"N": "1"}, "n": {"N": "15"}})
    assert seeking(query)(request)[0] == [*range(16, 26)]


def test_what_the_emulator_keeps_stays_as_it_is(journal: dict[str, Any]) -> None:
    seeking(query)(behind(0, 10))
    assert _tables["journal"] is journal and len(journal["items"]["1"]) == SLOTS - 1


@pytest.mark.parametrize(
    "further",
    [
        {"IndexName": "other"},
        {"ScanIndexForward": False},
        {"Limit": None},
        {"KeyConditionExpression": "#p = :p"},
        {"ExpressionAttributeNames": {"#p": "partition", "#n": "at_ms"}},
        {"ExpressionAttributeValues": {":p": {"N": "1"}, ":n": {"S": "text"}}},
    ],
)
def test_any_other_query_is_left_to_the_emulator(journal: dict[str, Any], further: dict[str, Any]) -> None:
    assert page_of(journal, behind(0, 10, **further)) is None


def test_a_table_whose_sort_keys_are_no_numbers_is_left_to_the_emulator(journal: dict[str, Any]) -> None:
    journal["items"]["1"]["open#7"] = {}
    assert page_of(journal, behind(0, 10)) is None
