"""WANTED: YAML files to a Manifest, resolved and checked, with the place of every value."""

from lettaform.manifest.load import load

__all__ = ["load"]
