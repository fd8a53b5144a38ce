"""What the service stacks stand on."""

from dataclasses import dataclass

from crossbook_infra.artifacts import ArtifactStack
from crossbook_infra.buckets import BucketStack
from crossbook_infra.cache import CacheStack
from crossbook_infra.cluster import ClusterStack
from crossbook_infra.database import DatabaseStack
from crossbook_infra.identity import IdentityStack
from crossbook_infra.keys import KeyStack
from crossbook_infra.names import NameStack
from crossbook_infra.network import NetworkStack
from crossbook_infra.stores import Stores


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """The layers, each a stack of its own."""

    keys: KeyStack
    network: NetworkStack
    names: NameStack
    buckets: BucketStack
    artifacts: ArtifactStack
    identity: IdentityStack
    cache: CacheStack
    database: DatabaseStack
    cluster: ClusterStack

    @property
    def stores(self) -> Stores:
        """Where the services find database and Redis."""
        return Stores(
            database_url=self.database.url,
            reader_url=self.database.reader_url,
            database_secret_arn=self.database.secret_arn,
            redis_url=self.cache.url,
            redis_secret_arn=self.cache.secret.secret_arn,
        )
