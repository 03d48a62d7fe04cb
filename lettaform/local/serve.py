"""Run by the Python of Letta's own environment: an empty PostgreSQL in, a Letta server out.

    python serve.py PORT

The rest comes from the environment variables that Letta reads. Nothing of lettaform can be imported here.
Tables and server share one process, since importing Letta takes longer than everything else.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Any


async def make_tables() -> None:
    """Make what is missing. The wheel of 0.16.8 has no migrations; its tables are in its object mapping."""
    import letta.orm  # type: ignore[import-not-found]  # noqa: F401 - to fill Base.metadata
    from letta.orm.base import Base  # type: ignore[import-not-found]
    from letta.server.db import engine  # type: ignore[import-not-found]
    from sqlalchemy import text  # type: ignore[import-not-found]

    async with engine.begin() as connection:
        await connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
        await connection.run_sync(Base.metadata.create_all)
        # 0.16.8: only a migration makes this sequence, and without it every creation of an agent is a 500.
        await connection.execute(text("CREATE SEQUENCE IF NOT EXISTS message_seq_id"))
        await connection.execute(
            text("ALTER TABLE messages ALTER COLUMN sequence_id SET DEFAULT nextval('message_seq_id')")
        )
    # Connections belong to the event loop that opened them, and the server brings its own.
    await engine.dispose()


def hasten() -> None:
    """Take two delays out of the start that change nothing in what the server does."""
    import nltk  # type: ignore[import-not-found]
    import typeguard  # type: ignore[import-not-found]

    # 0.16.8 imports inflect, which has every function of its own rewritten to check its types: three seconds.
    typeguard.typechecked = unchecked

    # 0.16.8 waits at every start for this download, without a limit: for ever where the network swallows packets.
    fetch = nltk.download

    def fetch_aside(*arguments: Any, **options: Any) -> bool:
        threading.Thread(target=fetch, args=arguments, kwargs=options, daemon=True).start()
        return True

    nltk.download = fetch_aside


def unchecked(target: Callable[..., Any] | None = None, **_: Any) -> Callable[..., Any]:
    """typeguard.typechecked, bare or called, without the checks."""
    return unchecked if target is None else target


def main() -> None:
    port = int(sys.argv[1])
    hasten()
    asyncio.run(make_tables())
    from letta.server.rest_api.app import start_server  # type: ignore[import-not-found]

    start_server(port=port, host="127.0.0.1")


if __name__ == "__main__":
    main()
