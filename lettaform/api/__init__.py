"""The Python API: manifests as files, mappings or typed objects, and a Stack whose methods are the commands."""
