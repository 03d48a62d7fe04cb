"""Manifest files to a Manifest: the desired state, checked, with the place of every value."""

from lettaform.manifest.garbage import without_garbage_collection
from lettaform.manifest.load import Draft, Outline, begin, load
from lettaform.manifest.saved import Given, open_saved
from lettaform.manifest.saved import dump as dump_saved
from lettaform.manifest.scope import Needs

__all__ = [
    "Draft",
    "Given",
    "Needs",
    "Outline",
    "begin",
    "dump_saved",
    "load",
    "open_saved",
    "without_garbage_collection",
]
