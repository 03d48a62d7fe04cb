def convert_temperature(degrees: float, unit: str) -> str:
    """
    Convert a temperature between Celsius and Fahrenheit.

    Args:
        degrees (float): The temperature to convert.
        unit (str): The unit to convert to: "celsius" or "fahrenheit".

    Returns:
        str: The converted temperature with its unit.
    """
    if unit == "celsius":
        return f"{(degrees - 32) * 5 / 9:.1f} celsius"
    return f"{degrees * 9 / 5 + 32:.1f} fahrenheit"
