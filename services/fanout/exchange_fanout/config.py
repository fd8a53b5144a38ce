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
    cognito_client_id: str = Field(min_length=1)
    cognito_issuer: str = Field(min_length=1)
    cognito_jwks_url: str = Field(min_length=1)
    trusted_proxies: int = Field(default=0, ge=0)
    """How many proxies of ours stand in front and append to X-Forwarded-For; 0: the header counts for nothing."""
    redis_secret_id: str = ""
    """The secret with the password, where the URL has none."""

    connections_max: int = Field(default=10_000, ge=1)
    """More are answered 503 before their handshake."""
    connections_per_address_max: int = Field(default=1_000, ge=1)
    """More of one address are answered 429 before their handshake."""
    subscriptions_max: int = Field(default=200, ge=1)
    """How many channels of symbols, and of its own, one connection may watch."""
    message_rate: str = Field(default="50/1s", pattern=r"[1-9]\d{0,6}/[1-9]\d{0,4}(ms|s|m|h)")
    """What a client may send: this much is heard, as much more is refused, then the connection ends (4429)."""
    message_bytes_max: int = Field(default=4096, ge=128)
    """A client's message longer than this is refused; one longer than four times this ends the connection."""
    send_buffer_bytes: int = Field(default=1 << 20, ge=1024)
    """What may wait to be sent to one client, beyond what the kernel takes, before it is cut as too slow."""
    behind_bytes: int = Field(default=1 << 16, ge=1024)
    """From this much waiting on, depth, tickers and candles are conflated for the client."""
    behind_s_max: float = Field(default=15.0, gt=0)
    """How long on end that may last before the client is cut as too slow."""
    heartbeat_s: float = Field(default=20.0, gt=0)
    """A connection silent this long is pinged; when nothing came back half of this later, it is ended."""
    subscribe_timeout_s: float = Field(default=5.0, gt=0)
    close_timeout_s: float = Field(default=3.0, gt=0)
    """How long a connection that is being ended may take to hear of it."""
    session_recheck_s: float = Field(default=30.0, gt=0)
    """How often the session behind an open connection is asked for again, should its end not have been heard."""
    presence_refresh_s: float = Field(default=60.0, gt=0)
    """How often the connections table and the subscriber sets are told again who is here."""

    probe_interval_s: float = Field(default=2.0, gt=0)
    """How often Redis is asked whether it answers, for `/readyz`."""

    @model_validator(mode="after")
    def _scheme_is_known(self) -> Self:
        assert self.redis_url.get_secret_value().startswith(("redis://", "rediss://", "unix://"))
        assert self.cognito_jwks_url.startswith(("http://", "https://"))
        assert self.behind_bytes <= self.send_buffer_bytes, "who is behind gets less before it is cut"
        return self

    @property
    def topology(self) -> Topology:
        """The names of this exchange."""
        return Topology(prefix=self.crossbook_prefix, partitions=self.crossbook_partitions)

    def redacted(self) -> dict[str, object]:
        """All settings with the secrets hidden, for the log."""
        return self.model_dump(mode="json")
