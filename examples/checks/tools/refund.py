def refund(number: int) -> str:
    """Pay a customer back.

    Args:
        number: The number of the order.
    """
    return f"Order {number} is paid back."
