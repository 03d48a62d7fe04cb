def order_status(number: int) -> str:
    """Say where an order is.

    Args:
        number: The number of the order.
    """
    return f"Order {number} left the warehouse."
