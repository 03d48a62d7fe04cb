def ticket_price(adults: int, children: int) -> str:
    """
    Tell what a visit costs.

    Args:
        adults (int): How many grown-ups come.
        children (int): How many children come with them; they pay nothing.

    Returns:
        str: The price, in euros.
    """
    people = "nobody" if adults + children == 0 else f"{adults + children} people"
    return f"{adults * 12} euros for {people}"
