"""Fixtures of lettaform: `letta_server`, `letta_stack` and `letta_module_stack`."""

pytest_plugins = ["lettaform.testing"]
