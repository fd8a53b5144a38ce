"""What the matcher is told by its environment: read once, validated whole."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from exchange_core.topology import HEARTBEAT_MS, Topology


class Config(BaseSettings):
    """The matcher's settings; the SDK reads its own `AWS_…` variables."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    prefix: str = Field(default="crossbook", validation_alias="CROSSBOOK_PREFIX", min_length=1)
    partitions: int = Field(default=2, validation_alias="CROSSBOOK_PARTITIONS", ge=1, le=1024)
    bucket_suffix: str = Field(default="", validation_alias="CROSSBOOK_BUCKET_SUFFIX", pattern="^[a-z0-9-]{0,32}$")
    """What follows the buckets' names, which the whole world shares: on AWS the account's number."""
    instance: str = Field(default="matcher-1", validation_alias="SERVICE_INSTANCE", min_length=1)
    http_host: str = Field(default="127.0.0.1", validation_alias="HTTP_HOST")
    http_port: int = Field(default=8082, validation_alias="HTTP_PORT", ge=0, le=65535)
    log_level: str = Field(default="info", validation_alias="LOG_LEVEL", pattern="^(debug|info|warning|error)$")
    redis_url: SecretStr = Field(default=SecretStr("redis://127.0.0.1:6379/0"), validation_alias="REDIS_URL")
    redis_secret_id: str = Field(default="", validation_alias="REDIS_SECRET_ID")
    """The secret with the password, where the URL has none."""
    lease_ttl_ms: int = Field(default=3_000, validation_alias="LEASE_TTL_MS", ge=100)
    lease_renew_s: float = Field(default=1.0, validation_alias="LEASE_RENEW_S", gt=0)
    receive_wait_s: float = Field(default=1.0, validation_alias="RECEIVE_WAIT_S", gt=0, le=20)
    heartbeat_ms: int = Field(default=HEARTBEAT_MS, validation_alias="HEARTBEAT_MS", ge=100)
    snapshot_slots: int = Field(default=2_000, validation_alias="SNAPSHOT_SLOTS", ge=1)
    snapshot_interval_s: float = Field(default=60.0, validation_alias="SNAPSHOT_INTERVAL_S", gt=0)

    @property
    def topology(self) -> Topology:
        """Names of queues, tables, stream and buckets."""
        return Topology(prefix=self.prefix, partitions=self.partitions, bucket_suffix=self.bucket_suffix)
