def report_incident(what: str) -> str:
    """Report an incident to the people who look after security.

    Args:
        what: What happened, in one sentence.
    """
    return f"Reported: {what}"
