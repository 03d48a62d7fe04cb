def advise_clothes(degrees: float, rain: bool) -> str:
    """
    Say what to wear.

    Args:
        degrees (float): The temperature in the unit that HOME_UNIT names.
        rain (bool): Whether it rains.

    Returns:
        str: What to wear.
    """
    import os

    mild = 15 if os.environ.get("HOME_UNIT", "celsius") == "celsius" else 59
    clothes = "a coat" if degrees < mild else "a shirt"
    return clothes + (" and an umbrella" if rain else "")
