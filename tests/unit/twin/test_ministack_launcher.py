"""A query for what lies behind a number sees its page only, and is answered as if it saw everything; a receive that is
asked again with its attempt's id gets what it was to get."""

import asyncio
from typing import Any

import pytest

from crossbook.servers.ministack_launcher import ATTEMPTS_MAX, page_of, remembering, seeking

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


class Queue:
    """MiniStack's receive, as far as it matters here: the first visible message, waiting for one as long as it takes.
    Nothing hides how a call that nobody listens to goes on."""

    def __init__(self) -> None:
        self.calls = 0
        self.sent = asyncio.Event()
        self.kept: dict[str, Any] = {"attributes": {"VisibilityTimeout": "10"}, "messages": []}

    def send(self, body: str) -> None:
        self.kept["messages"].append({"body": body, "visible_at": 0.0})
        self.sent.set()

    def at(self, url: str) -> dict[str, Any]:
        assert url == "queue"
        return self.kept

    async def receive(self, request: dict[str, Any], url: str) -> dict[str, Any]:
        assert request["QueueUrl"] == url
        self.calls += 1
        await self.sent.wait()
        for message in self.kept["messages"]:
            if not message["visible_at"]:
                message |= {"visible_at": 1e12, "receipt_handle": f"receipt {self.calls}"}
                return {"Messages": [{"Body": message["body"], "ReceiptHandle": message["receipt_handle"]}]}
        return {}


def asked(attempt_id: str) -> dict[str, Any]:
    return {"QueueUrl": "queue", "ReceiveRequestAttemptId": attempt_id}


async def test_an_attempt_asked_again_gets_what_the_call_that_is_gone_was_given() -> None:
    queue = Queue()
    receive = remembering(queue.receive, queue.at)
    gone = asyncio.ensure_future(receive(asked("one"), "queue"))
    await asyncio.sleep(0)
    gone.cancel()
    queue.send("a")
    assert (await receive(asked("one"), "queue"))["Messages"][0]["Body"] == "a"
    assert (await receive(asked("one"), "queue"))["Messages"][0]["Body"] == "a"
    assert queue.calls == 1 and queue.kept["messages"][0]["visible_at"] < 1e12, "its visibility begins anew"
    assert await receive(asked("two"), "queue") == {}


@pytest.mark.parametrize("change", [{"visible_at": 0.0}, {"visible_at": 0.0, "receipt_handle": "another's"}])
async def test_an_attempt_is_over_once_its_message_is_visible_or_somebody_elses(change: dict[str, Any]) -> None:
    queue = Queue()
    receive = remembering(queue.receive, queue.at)
    queue.send("a")
    await receive(asked("one"), "queue")
    queue.kept["messages"][0] |= change
    assert (await receive(asked("one"), "queue"))["Messages"][0]["ReceiptHandle"] == "receipt 2"


async def test_an_attempt_is_over_once_its_message_is_deleted_or_when_it_brought_nothing() -> None:
    queue = Queue()
    receive = remembering(queue.receive, queue.at)
    queue.send("a")
    await receive(asked("one"), "queue")
    queue.kept["messages"].clear()
    assert await receive(asked("one"), "queue") == {}
    queue.send("b")
    assert (await receive(asked("one"), "queue"))["Messages"][0]["Body"] == "b"


async def test_a_call_without_an_attempt_is_left_to_the_emulator_and_old_attempts_are_forgotten() -> None:
    queue = Queue()
    receive = remembering(queue.receive, queue.at)
    queue.send("a")
    await receive({"QueueUrl": "queue"}, "queue")
    assert await receive({"QueueUrl": "queue"}, "queue") == {}
    queue.send("b")
    await receive(asked("first"), "queue")
    for number in range(ATTEMPTS_MAX):
        await receive(asked(str(number)), "queue")
    assert await receive(asked("first"), "queue") == {}


async def test_an_attempt_that_failed_is_tried_anew() -> None:
    queue = Queue()
    queue.send("a")
    failures = [KeyError("no such queue")]

    async def receive_once_it_can(request: dict[str, Any], url: str) -> dict[str, Any]:
        if failures:
            raise failures.pop()
        return await queue.receive(request, url)

    receive = remembering(receive_once_it_can, queue.at)
    with pytest.raises(KeyError):
        await receive(asked("one"), "queue")
    assert (await receive(asked("one"), "queue"))["Messages"][0]["Body"] == "a"
