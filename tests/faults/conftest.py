"""The real server of tests/live, for the few tests here that need it."""

from tests.live.conftest import letta

__all__ = ["letta"]
