"""A stand-in for a Letta 0.16.8 server, in memory: requests to answers, independent of lettaform.

Every module here except `server`, `lists`, `validate` and `schema` is one resource: its routes and their behaviour.
`tests/conformance` compares each of them with a real server. A route that is not modelled answers 501.
"""

from tests.standin.server import Ask, Refusal, StandIn, load_resources, serve

load_resources()

__all__ = ["Ask", "Refusal", "StandIn", "serve"]
