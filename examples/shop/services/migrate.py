"""Create the tables: `python migrate.py`."""

import asyncio
import os
from pathlib import Path

import asyncpg


async def migrate() -> None:
    connection = await asyncpg.connect(os.environ["DATABASE_URL"])
    await connection.execute(Path(__file__).with_name("schema.sql").read_text(encoding="utf-8"))
    await connection.close()


asyncio.run(migrate())
