"""Manifest files to a Manifest: the desired state, checked, with the place of every value."""

from lettaform.manifest.garbage import without_garbage_collection
from lettaform.manifest.load import Draft, Outline, begin, load
from lettaform.manifest.scope import Needs

__all__ = ["Draft", "Needs", "Outline", "begin", "load", "without_garbage_collection"]
