"""Manifests of lettactl to declarations, and to what of them has no counterpart."""
