"""Manifest files to a Manifest: the desired state, checked, with the place of every value."""

from lettaform.manifest.load import Draft, Outline, begin, load, without_garbage_collection

__all__ = ["Draft", "Outline", "begin", "load", "without_garbage_collection"]
