"""A real Letta server on this machine, from PyPI: its own Python environment, its own PostgreSQL, no Docker, no key.

    from lettaform import local

    server = local.up(port=0, echo_model=True)      # a free port, and a model that needs no key
    print(server.url, server.model, server.embedding)
    local.down(data=server.data, purge=True)

`up` installs what is missing, starts, and returns when the server is healthy; what already runs is found, not started
again. `down` stops it. `status` lists what is known, `logs` yields lines. Everything listens on 127.0.0.1 only.
Nothing here prints: `up` reports through `progress`. Whatever a person can cause is a `LocalError`.

`up(letta="0.16.4")` runs an older release, in an environment and on data of its own; LETTAFORM_LETTA names one for
whoever does not say.

Where things lie: the environments in the user's cache folder, the data of a server in the user's data folder under
`dev/PORT`. `LETTAFORM_HOME` moves both.
"""

from __future__ import annotations

from lettaform.local.environment import LETTA
from lettaform.local.running import MODELS, Known, Running, down, logs, status, up

DEFAULT_PORT = 8283

__all__ = ["DEFAULT_PORT", "LETTA", "MODELS", "Known", "Running", "down", "logs", "status", "up"]
