"""The backing parts of an exchange with SQS, Kinesis and S3 on LocalStack: the shape of `Backing`, on other clouds.

DynamoDB is LocalStack's too if it serves that; else it stays on MiniStack, as Cognito always does.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from crossbook.backing import Backing
from crossbook.bootstrap import Cloud, create_resources, open_cloud
from crossbook.site import Site
from tests.localstack.server import LocalStack


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalStackBacking:
    """PostgreSQL, Redis and MiniStack of a `Backing`, and a LocalStack before the latter.

    `aws_environment` holds the SDK's own variables: MiniStack's, and one for each service that LocalStack serves.
    """

    backing: Backing
    localstack: LocalStack
    aws_environment: dict[str, str]
    cloud: Cloud

    async def create_site(self, *, partitions: int = 2) -> Site:
        """A new place for an exchange beside the others."""
        site = await self.backing.create_site(partitions=partitions)
        await create_resources(self.cloud, site.topology)
        return replace(site, aws=self.aws_environment)


@asynccontextmanager
async def open_localstack_backing(backing: Backing, localstack: LocalStack) -> AsyncIterator[LocalStackBacking]:
    """Put the LocalStack before the MiniStack of these backing parts."""
    environment = backing.aws_environment | {
        f"AWS_ENDPOINT_URL_{service.upper()}": localstack.endpoint for service in localstack.services
    }
    async with open_cloud(environment) as cloud:
        yield LocalStackBacking(backing=backing, localstack=localstack, aws_environment=environment, cloud=cloud)
