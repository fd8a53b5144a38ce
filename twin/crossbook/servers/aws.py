"""The emulated cloud: MiniStack, in an environment of its own (`ministack` inside the virtual environment).

It keeps its state over a graceful stop, not over a kill: a twin whose MiniStack was killed has lost its journal.
"""

import os
import sys
from pathlib import Path

from crossbook.errors import SetupError
from crossbook.ports import LOOPBACK
from crossbook.processes import ProcessSpec

REGION = "us-east-1"
ACCOUNT_ID = "000000000000"
SERVICES = "sqs,kinesis,dynamodb,s3,lambda,cognito-idp,apigateway,sts,iam"
LAUNCHER = Path(__file__).with_name("ministack_launcher.py")
SAVE_TIMEOUT_S = 120.0
"""It writes its whole state when it stops; killed in the middle, it has lost it."""


class AwsServer:
    """One MiniStack, its state in a folder."""

    def __init__(self, folder: Path, *, port: int) -> None:
        self._folder = folder
        self._port = port

    @property
    def environment(self) -> dict[str, str]:
        """The SDK's own variables, so that a client finds this cloud and no other."""
        return {
            "AWS_ENDPOINT_URL": f"http://{LOOPBACK}:{self._port}",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def spec(self) -> ProcessSpec:
        """How the server is run."""
        temporary = self._folder / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        return ProcessSpec(
            name="aws",
            command=(str(_interpreter()), "-P", str(LAUNCHER)),
            environment={
                "PATH": os.environ.get("PATH", os.defpath),
                "HOME": str(self._folder),
                "TMPDIR": str(temporary),
                "PYTHONUNBUFFERED": "1",
                "GATEWAY_PORT": str(self._port),
                "BIND_HOST": LOOPBACK,
                "MINISTACK_ACCOUNT_ID": ACCOUNT_ID,
                "MINISTACK_REGION": REGION,
                "SERVICES": SERVICES,
                "PERSIST_STATE": "1",
                "STATE_DIR": str(self._folder / "state"),
                "S3_PERSIST": "1",
                "S3_DATA_DIR": str(self._folder / "s3"),
                "SFTP_ENABLED": "0",
                "IOT_MTLS_ENABLED": "0",
                "LOG_LEVEL": "WARNING",
            },
            port=self._port,
            ready_path="/_ministack/ready",
            stop_timeout_s=SAVE_TIMEOUT_S,
            is_replaceable=False,
            directory=self._folder,
        )


def _interpreter() -> Path:
    interpreter = Path(sys.prefix) / "ministack" / "bin" / "python"
    if not interpreter.exists():
        raise SetupError(f"MiniStack, the emulated cloud, is not installed in {interpreter.parent.parent}: run `make`")
    return interpreter
