"""A made-up day in the format of the recorded one, from a seed: what the chaos runs replay."""

from pathlib import Path
from random import Random

START_MS = 1_430_438_400_000
MIDDLE_CENTS = 23_500


def write_order_flow(path: Path, *, seed: int, orders: int) -> None:
    """Orders near one price, so that many of them meet; about half are canceled before they can."""
    random = Random(seed)
    rows: list[tuple[int, str]] = []
    for number in range(orders):
        direction = random.choice(("bid", "ask"))
        away = random.randrange(-40, 60)
        cents = MIDDLE_CENTS + (-away if direction == "bid" else away)
        volume = random.randrange(1, 500) * 1_000_000
        at_ms = START_MS + number * 100
        rows.append((at_ms, _row(number, at_ms, cents, volume, "created", direction)))
        if random.random() < 0.5:
            gone_ms = at_ms + random.randrange(1_000, 60_000)
            rows.append((gone_ms, _row(number, gone_ms, cents, volume, "deleted", direction)))
    rows.sort(key=lambda row: row[0])
    header = "id,timestamp,exchange.timestamp,price,volume,action,direction"
    path.write_text("\n".join([header, *(text for _, text in rows)]) + "\n")


def _row(number: int, at_ms: int, cents: int, volume: int, action: str, direction: str) -> str:
    return f"{65_000_000 + number},{at_ms},{at_ms // 1000 * 1000},{cents / 100:.2f},{volume},{action},{direction}"
