"""How a twin is started, and where it listens unless told otherwise."""

from dataclasses import dataclass
from typing import Self

GATEWAY_PORT = 8080
FANOUT_PORT = 8081
AWS_PORT = 4566


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinOptions:
    """How a twin is started. A port of 0 takes any free one; `database_url` and `redis_url` replace own servers.

    `instances` of each service run, and never fewer matchers. Without `durable`, a crash of the machine may lose the
    database. `reconciles`: a process compares the stores with the journal all the time, and halts what differs.
    """

    gateway_port: int = GATEWAY_PORT
    fanout_port: int = FANOUT_PORT
    aws_port: int = AWS_PORT
    database_url: str | None = None
    redis_url: str | None = None
    partitions: int = 2
    matchers: int = 2
    instances: int = 1
    is_seeded: bool = True
    log_level: str = "info"
    durable: bool = True
    reconciles: bool = True

    @classmethod
    def private(cls, *, is_seeded: bool = True, log_level: str = "info") -> Self:
        """For a test: every port a free one, nothing slow for the sake of a power cut, and nobody who halts a symbol
        because a test has tampered with a store."""
        return cls(
            gateway_port=0,
            fanout_port=0,
            aws_port=0,
            is_seeded=is_seeded,
            log_level=log_level,
            durable=False,
            reconciles=False,
        )
