"""What the gateway is told by its environment, validated whole before anything starts."""

from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from exchange_core.topology import Topology
from exchange_gateway.limits import rate_limits


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
    redis_url: SecretStr
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
    """Multiplies the limits of users and addresses: for twins, where one of each carries the load of an exchange."""
    trusted_proxies: int = Field(default=0, ge=0, le=10)
    """How many proxies of ours stand in front and append to X-Forwarded-For; 0: the header counts for nothing."""

    @model_validator(mode="after")
    def _limits_are_known(self) -> Self:
        rate_limits(self.rate_limits, self.rate_limit_scale)
        return self

    @model_validator(mode="after")
    def _schemes_are_known(self) -> Self:
        assert self.database_reader_url.get_secret_value().startswith(("postgresql://", "postgres://"))
        assert self.redis_url.get_secret_value().startswith(("redis://", "rediss://", "unix://"))
        assert self.cognito_jwks_url.startswith(("http://", "https://"))
        return self

    @property
    def topology(self) -> Topology:
        """The names of this exchange."""
        return Topology(prefix=self.crossbook_prefix, partitions=self.crossbook_partitions)

    def redacted(self) -> dict[str, object]:
        """All settings with the secrets hidden, for the log."""
        return self.model_dump(mode="json")
