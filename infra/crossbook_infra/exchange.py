"""The app: every stack of one environment, in order of what needs what."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks

from crossbook_infra.api import ApiStack
from crossbook_infra.artifacts import ArtifactStack
from crossbook_infra.audit import AuditStack
from crossbook_infra.backups import BackupStack
from crossbook_infra.buckets import BucketStack
from crossbook_infra.cache import CacheStack
from crossbook_infra.cluster import ClusterStack
from crossbook_infra.config import EnvironmentConfig
from crossbook_infra.database import DatabaseStack
from crossbook_infra.edge import EdgeStack
from crossbook_infra.fanout import FanoutStack
from crossbook_infra.gateway import GatewayStack
from crossbook_infra.identity import IdentityStack
from crossbook_infra.keys import KeyStack
from crossbook_infra.layers import Layers
from crossbook_infra.matcher import MatcherStack
from crossbook_infra.messaging import MessagingStack
from crossbook_infra.migrations import MigrationStack
from crossbook_infra.names import NameStack
from crossbook_infra.network import NetworkStack
from crossbook_infra.operations import OperationsStack
from crossbook_infra.persister import PersisterStack
from crossbook_infra.reconciler import ReconcilerStack
from crossbook_infra.replica import ReplicaStack
from crossbook_infra.stack import ExchangeStack
from crossbook_infra.stores import Stores
from crossbook_infra.tables import TableStack

_CONTEXT: Final = Path(__file__).parents[1] / "cdk.json"


def build_app(
    settings: EnvironmentConfig, *, directory: Path | None = None, context: Mapping[str, Any] | None = None
) -> cdk.App:
    """Every stack of the environment. `directory` takes the templates, else the CDK's command line says where.

    `python app.py` does not read cdk.json by itself, so its feature flags are loaded here, for the tests as well.
    """
    flags = json.loads(_CONTEXT.read_text())["context"]
    app = cdk.App(context={**flags, **(context or {})}, outdir=str(directory) if directory else None)
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    cdk.Validations.of(app).acknowledge(
        cdk.Acknowledgment(
            id="CloudFormation-Validate::W3010",
            reason="Named zones: no synth asks which there are",
        )
    )
    keys = KeyStack(app, settings)
    identity = IdentityStack(app, settings)
    messaging = MessagingStack(app, settings, key=keys.data)
    tables = TableStack(app, settings, key=keys.data)
    buckets = BucketStack(app, settings, key=keys.data)
    artifacts = ArtifactStack(app, settings, key=keys.data, buckets=buckets)
    if settings.is_replicated:
        replica = ReplicaStack(app, settings)
        for copied in (tables, buckets):
            copied.add_stack_dependency(replica, "it copies into the second region")
    data = (messaging, tables, buckets)
    if settings.emulator:
        stores, network = Stores.emulated(settings.emulator), None
    else:
        layers = _layers(app, settings, keys=keys, identity=identity, buckets=buckets, artifacts=artifacts)
        stores, network = layers.stores, layers.network
        services = _services(app, settings, layers)
        for service in services:
            for stack in data:
                service.add_stack_dependency(stack, "it calls these by name")
    persister = PersisterStack(
        app,
        settings,
        key=keys.data,
        records_key=keys.records,
        packages=artifacts.packages,
        stores=stores,
        network=network,
    )
    for stack in data:
        persister.add_stack_dependency(stack, "it calls these by name")
    return app


def _services(app: cdk.App, settings: EnvironmentConfig, layers: Layers) -> tuple[ExchangeStack, ...]:
    """Those with tasks, and what stands before and beside them."""
    gateway = GatewayStack(app, settings, layers=layers)
    matcher = MatcherStack(app, settings, layers=layers)
    fanout = FanoutStack(app, settings, layers=layers)
    reconciler = ReconcilerStack(app, settings, layers=layers)
    MigrationStack(app, settings, layers=layers)
    api = ApiStack(app, settings, layers=layers, gateway=gateway)
    EdgeStack(app, settings, layers=layers, api=api)
    BackupStack(app, settings, key=layers.keys.data, database=layers.database)
    OperationsStack(app, settings, records_key=layers.keys.records)
    if settings.is_audited:
        AuditStack(app, settings, records_key=layers.keys.records, buckets=layers.buckets)
    return gateway, matcher, fanout, reconciler


def _layers(
    app: cdk.App,
    settings: EnvironmentConfig,
    *,
    keys: KeyStack,
    identity: IdentityStack,
    buckets: BucketStack,
    artifacts: ArtifactStack,
) -> Layers:
    network = NetworkStack(app, settings, records_key=keys.records)
    return Layers(
        keys=keys,
        network=network,
        names=NameStack(app, settings),
        buckets=buckets,
        artifacts=artifacts,
        identity=identity,
        cache=CacheStack(app, settings, network=network, key=keys.data, records_key=keys.records),
        database=DatabaseStack(app, settings, network=network, key=keys.data),
        cluster=ClusterStack(app, settings, network=network),
    )
