"""The matcher: nobody calls it, so there is nothing before it."""

from constructs import Construct

from crossbook_infra.config import EnvironmentConfig
from crossbook_infra.fargate import FargateStack
from crossbook_infra.layers import Layers
from crossbook_infra.stack import accept, objects_of


class MatcherStack(FargateStack):
    """Commands in, journal slots out.

    Tasks share the partitions out by leases: with more tasks than partitions the rest stand by, and with half of them
    in each zone the loss of one leaves somebody for every partition. More tasks than partitions trade no faster; what
    scaling adds while partitions are many for few tasks is their spread.
    """

    def __init__(self, scope: Construct, settings: EnvironmentConfig, *, layers: Layers) -> None:
        super().__init__(
            scope,
            settings,
            "matcher",
            "Crossbook: matcher",
            layers=layers,
            task=settings.matcher,
            environment={},
            needs_buckets=True,
        )
        self.grants.matcher()
        self.grants.read_secrets(layers.stores, has_database=False)
        accept(self.role, objects_of(self.topology.snapshots.name), "Snapshots are all objects of the bucket")
        self.scale()
