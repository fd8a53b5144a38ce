"""Run by the CDK's environment: `synthesize.py <directory> prod dev` writes the templates of both, each into a folder
of its name there, and says the name when they are whole."""

import sys
from pathlib import Path

from crossbook_infra.config import environment_from
from crossbook_infra.exchange import build_app


def main() -> None:
    """One environment after the other."""
    directory, *environments = sys.argv[1:]
    for environment in environments:
        build_app(environment_from({"environment": environment}), directory=Path(directory) / environment).synth()
        sys.stdout.write(f"{environment}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
