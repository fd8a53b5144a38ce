"""Crossbook on AWS: one CDK app, a stack a layer and a stack a service.

Owns: every AWS resource, who may call what, the dashboards, alarms and backups. Names and settings of queues,
streams, tables and buckets come from `exchange_core.topology`, metrics from `exchange_adapters.metrics`, routes from
the gateway's OpenAPI document. Invariants: a synth asks nobody anything (no look-ups, no Docker); every finding of the
checkers is fixed, or acknowledged with its reason next to what it is about. May import: exchange_core.topology,
exchange_adapters.metrics, the CDK; never a service.
"""
