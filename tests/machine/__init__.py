"""Random fleets, agents and strangers against lettaform's promises: on the stand-in by the thousand, on a server by tens."""
