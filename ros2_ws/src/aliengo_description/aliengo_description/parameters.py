"""Parameters of nodes as data, without ROS; `parameters_node` declares them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence

__all__ = ["Parameter", "check_range", "check_ranges"]


@dataclass(frozen=True)
class Parameter:
    """One ROS parameter.

    Attributes:
        name: of the parameter.
        default: its value if none is given, and its type; a list with a range keeps its length.
        description: what it is, with its unit.
        low: smallest number allowed, of a list the smallest in it; only given for numbers.
        high: the largest likewise.
        read_only: whether it is fixed from the node's start.
    """

    name: str
    default: Any
    description: str
    low: Optional[float] = None
    high: Optional[float] = None
    read_only: bool = True

    @property
    def is_number(self) -> bool:
        """Whether it is a single number."""
        return isinstance(self.default, (int, float)) and not isinstance(self.default, bool)


def check_range(parameter: Parameter, value: Any) -> None:
    """Refuse a number that is not finite or out of range, and a list with such or of another length.

    Raises:
        ValueError: naming the parameter, its value and what is allowed.
    """
    bounded = parameter.low is not None and parameter.high is not None
    if not (parameter.is_number or bounded):
        return
    numbers = [value] if parameter.is_number else list(value)
    expected = 1 if parameter.is_number else len(parameter.default)
    low = -math.inf if parameter.low is None else parameter.low
    high = math.inf if parameter.high is None else parameter.high
    fits = all(math.isfinite(number) and low <= number <= high for number in numbers)
    if fits and len(numbers) == expected:
        return
    allowed = f"{low:g} to {high:g}" if bounded else "a finite number"
    if not parameter.is_number:
        value, allowed = numbers, f"{expected} numbers from {allowed}"
    raise ValueError(f"parameter {parameter.name} is {value}; allowed: {allowed}")


def check_ranges(parameters: Sequence[Parameter], values: Mapping[str, Any]) -> None:
    """Refuse values as `check_range` does.

    Args:
        parameters: to check.
        values: by name, one for each of them.

    Raises:
        ValueError: naming the first that is wrong, its value and what is allowed.
    """
    for parameter in parameters:
        check_range(parameter, values[parameter.name])
