"""Where the services find database and Redis, and the secrets with the passwords."""

from dataclasses import dataclass
from typing import Self

from crossbook_infra.config import EmulatorConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """URLs without passwords, and the ARNs of the secrets that have them; in an emulator the URLs say it all."""

    database_url: str
    reader_url: str
    redis_url: str
    database_secret_arn: str = ""
    redis_secret_arn: str = ""

    @classmethod
    def emulated(cls, config: EmulatorConfig) -> Self:
        """What an emulated environment is told."""
        return cls(database_url=config.database_url, reader_url=config.database_url, redis_url=config.redis_url)
