"""What the gateway is told by its environment, validated whole before anything starts."""

from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from exchange_core.topology import Topology
from exchange_gateway.access.api_keys import MASTER_BYTES_MIN, KeyRing
from exchange_gateway.access.limits import rate_limits


class Config(BaseSettings):
    """One field an environment variable, of the same name in capitals. AWS settings are the SDK's own variables.

    `cognito_auto_confirm` lets new users in without a code sent by mail: in the local twins only.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    crossbook_partitions: int = Field(default=2, ge=1, le=64)
    crossbook_prefix: str = Field(default="crossbook", pattern=r"[a-z][a-z0-9-]{0,30}")
    http_host: str = "127.0.0.1"
    http_port: int = Field(default=8080, ge=1, le=65535)
    log_level: str = Field(default="info", pattern=r"debug|info|warning|error")
    service_instance: str = Field(default="gateway-1", pattern=r"[A-Za-z0-9._-]{1,64}")
    database_reader_url: SecretStr
    database_secret_id: str = ""
    """The secret with the password, where the URL has none."""
    redis_url: SecretStr
    redis_secret_id: str = ""
    """The secret with the password, where the URL has none."""
    cognito_user_pool_id: str = Field(min_length=1)
    cognito_client_id: str = Field(min_length=1)
    cognito_issuer: str = Field(min_length=1)
    cognito_jwks_url: str = Field(min_length=1)
    cognito_auto_confirm: bool = False
    session_lifetime_hours: int = Field(default=30 * 24, ge=1)
    """How long a log-in can be refreshed; not less than the user pool's refresh tokens live."""
    waiting_orders_max: int = Field(default=1_000, ge=1)
    """Orders that may wait for their hold; more are refused with `overloaded`."""
    waiting_commands_max: int = Field(default=20_000, ge=1)
    """Commands a partition that may wait to be sent; places beyond it are left to the sweeper."""
    requests_in_flight_max: int = Field(default=5_000, ge=1)

    rate_limits: dict[str, str] = Field(default_factory=dict)
    """Limits other than the defaults in limits.py, as JSON: `{"orders.user": "200/1s"}`."""
    rate_limit_scale: int = Field(default=1, ge=1, le=10_000)
    """Multiplies the default limits of users and addresses: for twins, where one of each carries a market's load."""
    api_key_masters: dict[str, SecretStr] = Field(min_length=1, max_length=10)
    """The secrets that API keys are derived from, as JSON by name: `{"2": "<64 hex digits>", "1": …}`. The first one
    makes new keys; what is taken out ends the keys that it made."""
    api_key_window_ms: int = Field(default=5_000, ge=100, le=60_000)
    """How far the timestamp of a signed request may be from this gateway's clock."""
    trusted_proxies: int = Field(default=0, ge=0, le=10)
    """How many proxies of ours stand in front and append to X-Forwarded-For; 0: the header counts for nothing."""

    @model_validator(mode="after")
    def _limits_are_known(self) -> Self:
        rate_limits(self.rate_limits, self.rate_limit_scale)
        return self

    @field_validator("api_key_masters")
    @classmethod
    def _masters_are_long(cls, masters: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for master in masters.values():
            try:
                is_long = len(bytes.fromhex(master.get_secret_value())) >= MASTER_BYTES_MIN
            except ValueError:
                is_long = False
            if not is_long:  # the library's own words would show the value
                raise ValueError(f"a master secret has {2 * MASTER_BYTES_MIN} hexadecimal digits at least")
        return masters

    @model_validator(mode="after")
    def _schemes_are_known(self) -> Self:
        assert self.database_reader_url.get_secret_value().startswith(("postgresql://", "postgres://"))
        assert self.redis_url.get_secret_value().startswith(("redis://", "rediss://", "unix://"))
        assert self.cognito_jwks_url.startswith(("http://", "https://"))
        return self

    @property
    def key_ring(self) -> KeyRing:
        """The masters of the API keys."""
        return KeyRing({name: bytes.fromhex(one.get_secret_value()) for name, one in self.api_key_masters.items()})

    @property
    def topology(self) -> Topology:
        """The names of this exchange."""
        return Topology(prefix=self.crossbook_prefix, partitions=self.crossbook_partitions)

    def redacted(self) -> dict[str, object]:
        """All settings with the secrets hidden, for the log."""
        return self.model_dump(mode="json")
