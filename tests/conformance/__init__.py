"""Facts about Letta 0.16.8, each held against the stand-in and against a real server, by the same lines."""
