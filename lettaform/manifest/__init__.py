"""Manifest files to a Manifest: the desired state, checked, with the place of every value."""

from lettaform.manifest.load import load

__all__ = ["load"]
