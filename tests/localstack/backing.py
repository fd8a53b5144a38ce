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
    """PostgreSQL, Redis and MiniStack of a `Backing`, and a LocalStack before the latter."""

    backing: Backing
    localstack: LocalStack
    cloud: Cloud

    @property
    def aws_environment(self) -> dict[str, str]:
        """The SDK's own variables: MiniStack, and each service that LocalStack serves by a variable of its own."""
        return self.backing.aws_environment | {
            f"AWS_ENDPOINT_URL_{service.upper()}": self.localstack.endpoint for service in self.localstack.services
        }

    async def create_site(self, *, partitions: int = 2) -> Site:
        """A new place for an exchange beside the others."""
        site = await self.backing.create_site(partitions=partitions)
        await create_resources(self.cloud, site.topology)
        return replace(site, aws=self.aws_environment)


@asynccontextmanager
async def open_localstack_backing(backing: Backing, localstack: LocalStack) -> AsyncIterator[LocalStackBacking]:
    """Put the LocalStack before the MiniStack of these backing parts."""
    async with open_cloud(localstack.environment) as served:
        cloud = replace(backing.cloud, **{service: getattr(served, service) for service in localstack.services})
        yield LocalStackBacking(backing=backing, localstack=localstack, cloud=cloud)
