def ring(times: int) -> str:
    """Ring the bell.

    Args:
        times (int): How often.
    """
    return "ding " * times
