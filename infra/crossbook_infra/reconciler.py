"""The reconciler: the persister's image in its other mode, one task that compares the stores with the journal."""

from constructs import Construct

from crossbook_infra.config import EnvironmentConfig
from crossbook_infra.fargate import FargateStack
from crossbook_infra.layers import Layers


class ReconcilerStack(FargateStack):
    """Nobody calls it and it is not scaled. Two at a time, as while one is replaced, say the same twice: what it halts,
    it halts by a command whose id follows from the difference."""

    def __init__(self, scope: Construct, settings: EnvironmentConfig, *, layers: Layers) -> None:
        stores = layers.stores
        super().__init__(
            scope,
            settings,
            "reconciler",
            "Crossbook: reconciler",
            layers=layers,
            task=settings.reconciler,
            image="persister",
            module="exchange_persister.reconcile",
            environment={"DATABASE_URL": stores.database_url, "DATABASE_SECRET_ID": stores.database_secret_arn},
        )
        self.grants.reconciler()
        self.grants.read_secrets(stores, has_redis=False)
