"""Bring the database to the newest schema: `python -m exchange_persister.migrate` with DATABASE_URL set.

Safe to run by several processes at once (they queue on an advisory lock) and on a database that is up to date. All
missing steps are one transaction: a failed upgrade leaves what was there. Needs the extra `migrate` (alembic).
"""

import os
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory


def upgrade(database_url: str, revision: str = "head") -> None:
    """Apply what is missing up to `revision`. Blocks, and runs an event loop of its own: not to be called in one."""
    command.upgrade(_config(database_url), revision)


def downgrade(database_url: str, revision: str) -> None:
    """Take back all steps after `revision` ("base": all of them), with the rows in their tables."""
    command.downgrade(_config(database_url), revision)


def newest_revision() -> str:
    """The revision that this code is made for; the table `alembic_version` says which one a database has."""
    revision = ScriptDirectory.from_config(_config("")).get_current_head()
    assert revision is not None, "there is at least one migration"
    return revision


def _config(database_url: str) -> Config:
    config = Config(attributes={"database_url": database_url})
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def main() -> None:
    """Upgrade the database that DATABASE_URL names."""
    database_url = os.environ.get("DATABASE_URL")
    if not database_url:
        sys.exit("exchange_persister.migrate: DATABASE_URL is not set")
    upgrade(database_url)


if __name__ == "__main__":
    main()
