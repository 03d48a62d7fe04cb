"""Random manifests, agents and other users against lettaform's promises, on the stand-in and on a real server."""
