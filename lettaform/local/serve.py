"""A PostgreSQL database to a running Letta server; run by the Python of the environment of Letta.

    python serve.py PORT

All other settings come from the environment variables that Letta reads. This file cannot import lettaform. The tables
are created in the process of the server, because importing Letta takes longer than everything else. The server keeps
the pieces of background runs in its memory: see keyvalue.py.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Any

import keyvalue  # type: ignore[import-not-found]  # beside this file


async def create_tables() -> None:
    """Create the missing tables. The wheel of 0.16.8 contains no migrations, so they come from its object mapping."""
    import letta.orm  # type: ignore[import-not-found]  # noqa: F401 - fills Base.metadata
    from letta.orm.base import Base  # type: ignore[import-not-found]
    from letta.server.db import engine  # type: ignore[import-not-found]
    from sqlalchemy import text  # type: ignore[import-not-found]

    async with engine.begin() as connection:
        await connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
        await connection.run_sync(Base.metadata.create_all)
        # 0.16.8: only a migration creates this sequence. Without it, every creation of an agent answers 500.
        await connection.execute(text("CREATE SEQUENCE IF NOT EXISTS message_seq_id"))
        await connection.execute(
            text("ALTER TABLE messages ALTER COLUMN sequence_id SET DEFAULT nextval('message_seq_id')")
        )
    # Connections belong to the event loop that opened them, and the server runs another one.
    await engine.dispose()


def shorten_start() -> None:
    """Remove two delays from the start that have no effect on the behaviour of the server."""
    import nltk  # type: ignore[import-not-found]
    import typeguard  # type: ignore[import-not-found]

    # 0.16.8 imports inflect, which rewrites each of its functions to check types: three seconds.
    typeguard.typechecked = unchecked

    # 0.16.8 waits for this download at every start, without a time limit: for ever if the network drops packets.
    download = nltk.download

    def download_in_background(*arguments: Any, **options: Any) -> bool:
        threading.Thread(target=download, args=arguments, kwargs=options, daemon=True).start()
        return True

    nltk.download = download_in_background


def unchecked(target: Callable[..., Any] | None = None, **_: Any) -> Callable[..., Any]:
    """Replaces `typeguard.typechecked`, with or without arguments, and checks nothing."""
    return unchecked if target is None else target


def main() -> None:
    port = int(sys.argv[1])
    shorten_start()
    keyvalue.use()
    asyncio.run(create_tables())
    from letta.server.rest_api.app import start_server  # type: ignore[import-not-found]

    start_server(port=port, host="127.0.0.1")


if __name__ == "__main__":
    main()
