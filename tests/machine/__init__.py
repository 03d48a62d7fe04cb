"""Random fleets, agents and strangers against lettaform's promises, on the stand-in and on a real server."""
