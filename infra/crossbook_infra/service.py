"""What all four services have in common: their tag, their log, what they are told."""

from typing import Final

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs

from crossbook_infra.stack import ExchangeStack
from crossbook_infra.stores import Stores

_LOG_DAYS: Final = {
    7: logs.RetentionDays.ONE_WEEK,
    30: logs.RetentionDays.ONE_MONTH,
    90: logs.RetentionDays.THREE_MONTHS,
    365: logs.RetentionDays.ONE_YEAR,
}


def image_tag(stack: ExchangeStack) -> cdk.CfnParameter:
    """What a deploy of a service is told, and all it is told."""
    return cdk.CfnParameter(
        stack,
        "ImageTag",
        type="String",
        allowed_pattern="[A-Za-z0-9_][A-Za-z0-9._-]{0,127}",
        description="Tag of the image (of the Lambda: name of the package) to run; an older one is a rollback",
    )


def log_group(stack: ExchangeStack, key: kms.IKey, name: str) -> logs.LogGroup:
    """Where a service writes; metrics come out of it too (embedded metric format)."""
    return logs.LogGroup(
        stack,
        "Log",
        log_group_name=f"/{stack.settings.prefix}/{name}",
        encryption_key=key,
        retention=_LOG_DAYS[stack.settings.log_days],
        removal_policy=stack.removal_policy,
    )


def exchange_environment(stack: ExchangeStack, stores: Stores) -> dict[str, str]:
    """What every service is told."""
    return {
        "CROSSBOOK_PREFIX": stack.settings.prefix,
        "CROSSBOOK_PARTITIONS": str(stack.settings.partitions),
        "LOG_LEVEL": "info",
        "REDIS_URL": stores.redis_url,
        "REDIS_SECRET_ID": stores.redis_secret_arn,
    }
