"""The real server of tests/live, for the one test here that needs it."""

from __future__ import annotations

from tests.live.conftest import letta as letta
