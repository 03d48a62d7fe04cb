"""A release of Letta to a real server on this machine, installed from PyPI.

The server has its own Python environment and its own PostgreSQL. It needs neither Docker nor an API key.

    from lettaform import local

    server = local.up(port=0, echo_model=True)      # a free port, and a model that needs no key
    print(server.url, server.model, server.embedding)
    local.down(data=server.data, purge=True)

`up` installs what is missing, starts the server, and returns when it is healthy. If the server already runs, `up`
returns it. `down` stops it. `status` lists all known servers, `logs` yields the lines of a log. Every port is on
127.0.0.1. Nothing here prints: `up` reports its progress through `progress`. A `LocalError` is an error that the user
can cause.

`up(letta="0.16.4")` runs an older release, with its own environment and its own data. LETTAFORM_LETTA is the default
of `letta`.

The environments are in the cache folder of the user. The data of a server are in the data folder of the user, under
`dev/PORT`. `LETTAFORM_HOME` replaces both folders.
"""

from __future__ import annotations

from lettaform.local.environment import LETTA
from lettaform.local.running import MODELS, Known, Running, down, logs, status, up

DEFAULT_PORT = 8283

__all__ = ["DEFAULT_PORT", "LETTA", "MODELS", "Known", "Running", "down", "logs", "status", "up"]
