"""Facts about Letta 0.16.8; the same tests run on the stand-in and on a real server."""
