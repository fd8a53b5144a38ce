"""What fanout is told by its environment, validated whole before anything starts."""

from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from exchange_core.topology import Topology


class Config(BaseSettings):
    """One field an environment variable, of the same name in capitals. AWS settings are the SDK's own variables."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    crossbook_partitions: int = Field(default=2, ge=1, le=64)
    crossbook_prefix: str = Field(default="crossbook", pattern=r"[a-z][a-z0-9-]{0,30}")
    http_host: str = "127.0.0.1"
    http_port: int = Field(default=8081, ge=1, le=65535)
    log_level: str = Field(default="info", pattern=r"debug|info|warning|error")
    service_instance: str = Field(default="fanout-1", pattern=r"[A-Za-z0-9._-]{1,64}")
    redis_url: SecretStr

    connections_max: int = Field(default=10_000, ge=1)
    """More are answered 503 before their handshake."""
    subscriptions_max: int = Field(default=50, ge=1)
    """How many symbols one connection may watch."""
    message_bytes_max: int = Field(default=4096, ge=128)
    """A client's message longer than this is refused; one longer than four times this ends the connection."""
    send_buffer_bytes: int = Field(default=1 << 20, ge=1024)
    """What may wait to be sent to one client, beyond what the kernel takes, before it is cut as too slow."""
    heartbeat_s: float = Field(default=20.0, gt=0)
    """A connection silent this long is pinged; when nothing came back half of this later, it is ended."""
    subscribe_timeout_s: float = Field(default=5.0, gt=0)
    close_timeout_s: float = Field(default=3.0, gt=0)
    """How long a connection that is being ended may take to hear of it."""
    presence_refresh_s: float = Field(default=60.0, gt=0)
    """How often the connections table and the subscriber sets are told again who is here."""

    probe_interval_s: float = Field(default=2.0, gt=0)
    """How often Redis is asked whether it answers, for `/readyz`."""

    @model_validator(mode="after")
    def _scheme_is_known(self) -> Self:
        assert self.redis_url.get_secret_value().startswith(("redis://", "rediss://", "unix://"))
        return self

    @property
    def topology(self) -> Topology:
        """The names of this exchange."""
        return Topology(prefix=self.crossbook_prefix, partitions=self.crossbook_partitions)

    def redacted(self) -> dict[str, object]:
        """All settings with the secrets hidden, for the log."""
        return self.model_dump(mode="json")
