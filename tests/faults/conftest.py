"""The real server of tests/live, for what is struck here on purpose."""

from tests.live.conftest import letta

__all__ = ["letta"]
