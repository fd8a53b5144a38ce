"""The place that one exchange has in the backing parts, told by the variables its services are given."""

import json
import secrets
from dataclasses import dataclass, field

from crossbook.bootstrap import UserPool, endpoint
from crossbook.servers.aws import REGION
from exchange_core.topology import Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One exchange's names in the cloud, its database, its Redis database, its user pool.

    `rate_limit_scale`: on a laptop one user at one address replays the flow of a whole market, or benches it.

    `aws` holds the SDK's own variables. Several sites live side by side in one set of servers, each with a prefix.
    """

    topology: Topology
    aws: dict[str, str]
    database_url: str
    redis_url: str
    user_pool: UserPool | None = None
    api_key_master: str = field(default_factory=lambda: secrets.token_hex(32))
    rate_limit_scale: int = 50

    @property
    def names_environment(self) -> dict[str, str]:
        """What this exchange's own things are called."""
        return {
            "CROSSBOOK_PREFIX": self.topology.prefix,
            "CROSSBOOK_PARTITIONS": str(self.topology.partitions),
            "REDIS_URL": self.redis_url,
        }

    @property
    def exchange_environment(self) -> dict[str, str]:
        """The variables that every service needs."""
        return self.aws | self.names_environment

    @property
    def database_environment(self) -> dict[str, str]:
        """Where PostgreSQL is: the twin has one server for writers and readers."""
        return {"DATABASE_URL": self.database_url, "DATABASE_READER_URL": self.database_url}

    @property
    def login_environment(self) -> dict[str, str]:
        """Where log-ins are checked, and how often one may ask. Tokens carry the real issuer's name; its key set is the
        emulator's."""
        if self.user_pool is None:
            return {}
        pool_id = self.user_pool.user_pool_id
        return {
            "COGNITO_USER_POOL_ID": pool_id,
            "COGNITO_CLIENT_ID": self.user_pool.client_id,
            "COGNITO_ISSUER": f"https://cognito-idp.{REGION}.amazonaws.com/{pool_id}",
            "COGNITO_JWKS_URL": f"{endpoint(self.aws, 'cognito-idp')}/{pool_id}/.well-known/jwks.json",
            "COGNITO_AUTO_CONFIRM": "1",
            "API_KEY_MASTERS": json.dumps({"1": self.api_key_master}),
            "RATE_LIMIT_SCALE": str(self.rate_limit_scale),
        }

    @property
    def environment(self) -> dict[str, str]:
        """All of them; a service is handed only its own part."""
        return self.exchange_environment | self.database_environment | self.login_environment
