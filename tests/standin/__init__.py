"""A stand-in of a Letta 0.16.8 server, in memory: requests to answers, nothing of lettaform inside.

Every file here that is not `server`, `lists`, `validate` or `schema` is one resource: its routes and what the server
does behind them. `tests/conformance` holds each of them to a real server. What is not modelled answers 501.
"""

from tests.standin.server import Ask, Refusal, StandIn, load_resources, serve

load_resources()

__all__ = ["Ask", "Refusal", "StandIn", "serve"]
