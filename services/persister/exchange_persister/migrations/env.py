"""Alembic runs this file: it opens the database and applies the migrations in one transaction, on asyncpg.

The address comes from `migrate.upgrade`, else from DATABASE_URL, in the form that asyncpg reads.
"""

import asyncio
import os
from typing import Any

import asyncpg
from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

_MIGRATION_LOCK_KEY = 7_263_641_001
"""Any number that nothing else in this database takes as an advisory lock."""


def _migrate(connection: Connection) -> None:
    context.configure(connection=connection, transaction_per_migration=False)
    with context.begin_transaction():
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK_KEY})"))
        context.run_migrations()


async def _run(database_url: str) -> None:
    async def connect(*_: Any, **__: Any) -> Any:
        return await asyncpg.connect(database_url)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_migrate)
    finally:
        await engine.dispose()


asyncio.run(_run(context.config.attributes.get("database_url") or os.environ["DATABASE_URL"]))
