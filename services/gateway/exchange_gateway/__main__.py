"""`python -m exchange_gateway`."""

from exchange_adapters.system import run_service
from exchange_gateway.bootstrap import bootstrap
from exchange_gateway.config import Config


def main() -> None:
    """Read the environment and serve until told to stop."""
    config = Config()  # type: ignore[call-arg]  # the environment gives them
    run_service("gateway", config.log_level, lambda stopping: bootstrap(config, stopping))


if __name__ == "__main__":
    main()
