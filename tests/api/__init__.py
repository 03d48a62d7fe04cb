"""Tests of `lettaform.api`."""
