"""From received messages to commands: what can be read is a command, what cannot is named so that it can be refused."""

import hashlib
from dataclasses import dataclass
from typing import Any

import orjson

from exchange_core.codec import COMMANDS_VERSION, decode_commands
from exchange_core.commands import Command
from exchange_core.ports import Delivery
from exchange_core.wire import DecodeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecodable:
    """A part of a message that is no command of any version we know.

    `cause` stands where a command's id would, so that a redelivery of the message is known as a repeat; `digest` is
    the SHA-256 of the message's body.
    """

    group: str
    cause: int
    digest: str


def read_delivery(delivery: Delivery) -> list[Command | Undecodable]:
    """All commands of a message, in order. One that cannot be read does not take the others with it."""
    try:
        return list(decode_commands(delivery.body))
    except DecodeError:
        return [_read_row(delivery, place, row) for place, row in enumerate(_rows(delivery.body))] or [
            _undecodable(delivery, 0)
        ]


def _rows(body: str) -> list[Any]:
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        return []
    if not isinstance(message, dict) or message.get("v") != COMMANDS_VERSION:
        return []
    rows = message.get("commands")
    return rows if isinstance(rows, list) else []


def _read_row(delivery: Delivery, place: int, row: Any) -> Command | Undecodable:
    try:
        return decode_commands(orjson.dumps({"v": COMMANDS_VERSION, "commands": [row]}).decode())[0]
    except DecodeError:
        return _undecodable(delivery, place)


def _undecodable(delivery: Delivery, place: int) -> Undecodable:
    identity = hashlib.sha256(f"{delivery.message_id}:{place}".encode()).digest()
    return Undecodable(
        group=delivery.group,
        cause=int.from_bytes(identity[:8], "big") >> 1,
        digest=hashlib.sha256(delivery.body.encode()).hexdigest(),
    )
