"""What the persister is told by its environment: read once, validated whole."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from exchange_core.topology import Topology


class Config(BaseSettings):
    """The persister's settings, for the worker and the Lambda alike; the SDK reads its own `AWS_…` variables."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    prefix: str = Field(default="crossbook", validation_alias="CROSSBOOK_PREFIX", min_length=1)
    partitions: int = Field(default=2, validation_alias="CROSSBOOK_PARTITIONS", ge=1, le=1024)
    bucket_suffix: str = Field(default="", validation_alias="CROSSBOOK_BUCKET_SUFFIX", pattern="^[a-z0-9-]{0,32}$")
    """What follows the buckets' names, which the whole world shares: on AWS the account's number."""
    instance: str = Field(default="persister-1", validation_alias="SERVICE_INSTANCE", min_length=1)
    http_host: str = Field(default="127.0.0.1", validation_alias="HTTP_HOST")
    http_port: int = Field(default=8083, validation_alias="HTTP_PORT", ge=0, le=65535)
    log_level: str = Field(default="info", validation_alias="LOG_LEVEL", pattern="^(debug|info|warning|error)$")
    database_url: SecretStr = Field(
        default=SecretStr(""), validation_alias="DATABASE_URL", min_length=1, validate_default=True
    )
    """Must be given: there is no default."""
    database_secret_id: str = Field(default="", validation_alias="DATABASE_SECRET_ID")
    """The secret with the password, where the URL has none."""
    redis_url: SecretStr = Field(default=SecretStr("redis://127.0.0.1:6379/0"), validation_alias="REDIS_URL")
    redis_secret_id: str = Field(default="", validation_alias="REDIS_SECRET_ID")
    """The secret with the password, where the URL has none."""
    group_slots_max: int = Field(default=500, validation_alias="PERSISTER_GROUP_SLOTS_MAX", ge=1, le=10_000)
    """How many records are settled in one go."""
    group_bytes_max: int = Field(default=512 * 1024, validation_alias="PERSISTER_GROUP_BYTES_MAX", ge=1024)
    """How many bytes of (compressed) records are settled in one go; a larger single one goes alone."""
    wallet_calls_max: int = Field(default=32, validation_alias="PERSISTER_WALLET_CALLS_MAX", ge=1, le=256)
    """How many wallet updates of one partition are under way at a time."""
    poll_interval_s: float = Field(default=0.1, validation_alias="PERSISTER_POLL_INTERVAL_S", gt=0)
    """Pause of a shard reader after an empty page. Kinesis allows five reads a second and shard."""
    refresh_interval_s: float = Field(default=5.0, validation_alias="PERSISTER_REFRESH_INTERVAL_S", gt=0)
    """How often the shards are listed again, the database is asked, and the lag is logged."""

    reconcile_interval_s: float = Field(default=2.0, validation_alias="PERSISTER_RECONCILE_INTERVAL_S", gt=0)
    """Pause of the reconciler after a round that left nothing to read."""

    @property
    def topology(self) -> Topology:
        """Names of tables, stream and buckets."""
        return Topology(prefix=self.prefix, partitions=self.partitions, bucket_suffix=self.bucket_suffix)
