"""`python -m exchange_fanout`."""

from exchange_adapters.system import run_service
from exchange_fanout.bootstrap import bootstrap
from exchange_fanout.config import Config


def main() -> None:
    """Read the environment and serve until told to stop."""
    config = Config()  # type: ignore[call-arg] # its fields come from the environment
    run_service("fanout", config.log_level, lambda stopping: bootstrap(config, stopping))


if __name__ == "__main__":
    main()
