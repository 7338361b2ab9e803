"""Checks of configurations: whoever is refused is told the name, the value and what is allowed."""

from __future__ import annotations

import math
from typing import Any, Tuple

__all__ = ["require", "require_range"]


def require(name: str, value: Any, condition: bool, expected: str) -> None:
    """Refuse a value of a configuration.

    Args:
        name: Of the field, as on the command line below ``--cfg``.
        value: Its value.
        condition: Whether it is allowed.
        expected: What is.

    Raises:
        ValueError: If it is not.
    """
    if not condition:
        raise ValueError(f"{name} is {value}, expected {expected}")


def require_range(name: str, bounds: Tuple[float, float]) -> None:
    """Refuse bounds that are not finite or the wrong way round."""
    low, high = bounds
    ordered = math.isfinite(low) and math.isfinite(high) and low <= high
    require(name, bounds, ordered, "two numbers, the lower first")
