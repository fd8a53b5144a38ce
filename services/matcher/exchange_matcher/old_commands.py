"""Commands that waited for so long that the engine may have carried them out and forgotten it (ADR 16, ADR 19).

What has an intent is dropped: the sweeper sends it again. What has none is only in the queue, so the journal is asked.
"""

from collections.abc import Collection, Sequence
from functools import partial

import structlog

from exchange_core.codec import decode_slot
from exchange_core.commands import WITHOUT_INTENT, Command, unseen_at_ms
from exchange_core.ports import Delivery, JournalReader
from exchange_core.topology import COMMAND_MAX_AGE_MS, QUEUED_AT_ONCE_MS
from exchange_matcher.intake import Undecodable, read_delivery
from exchange_matcher.recovery import PAGE_SLOTS
from exchange_matcher.retry import Outage, persist


def is_dropped(
    command: Command | Undecodable, delivery: Delivery, at_ms: int, carried_out: Collection[int] = ()
) -> bool:
    """Whether it is too old to tell it from a repeat, or is one: `carried_out` are those that a slot shows."""
    if isinstance(command, Undecodable) or not _is_only_here(command, delivery):
        return _is_old(command, delivery, at_ms)
    return command.command_id in carried_out


async def carried_out(
    deliveries: Sequence[Delivery], at_ms: int, *, partition: int, n: int, journal: JournalReader, outage: Outage
) -> set[int]:
    """Of the old commands that nobody sends again: those that a slot to `n` shows. What is handed out for the first
    time is in none. Reads the journal from its end to when the oldest of them was sent, in which time little happened,
    or it would not have waited."""
    sent_at_ms = {
        command.command_id: delivery.sent_at_ms
        for delivery in deliveries
        if delivery.receive_count > 1 and at_ms - delivery.sent_at_ms > COMMAND_MAX_AGE_MS
        for command in read_delivery(delivery)
        if not isinstance(command, Undecodable) and _is_only_here(command, delivery)
    }
    shown: set[int] = set()
    since_ms = min(sent_at_ms.values(), default=at_ms) - QUEUED_AT_ONCE_MS  # the queue's clock is not the journal's
    last = n if sent_at_ms else 0
    while last > 0:
        after = max(0, last - PAGE_SLOTS)
        page = await persist(partial(journal.read, partition, after, last - after), outage)
        slots = [decode_slot(data) for _, data in page]
        shown.update(event.cause for slot in slots for event in slot.events if event.cause in sent_at_ms)
        last = after if slots[0].at_ms >= since_ms else 0
    if sent_at_ms:
        structlog.get_logger().warning("old_commands", partition=partition, count=len(sent_at_ms), shown=len(shown))
    return shown


def _is_old(command: Command | Undecodable, delivery: Delivery, at_ms: int) -> bool:
    """Whether it was sent, or surely in no slot, longer ago than COMMAND_MAX_AGE_MS.

    A sender that was suspended amid its call brings such repeats, and a queue that waited for a matcher. Age is told in
    journal time, as the memory of commands is.
    """
    unseen_ms = delivery.sent_at_ms if isinstance(command, Undecodable) else unseen_at_ms(command)
    return at_ms - min(unseen_ms, delivery.sent_at_ms) > COMMAND_MAX_AGE_MS


def _is_only_here(command: Command, delivery: Delivery) -> bool:
    """Whether nobody sends the command again, and no other message has it: it has no intent, and came into the queue at
    once, where repeats are dropped for longer than that."""
    return isinstance(command, WITHOUT_INTENT) and delivery.sent_at_ms - command.entered_at_ms <= QUEUED_AT_ONCE_MS
