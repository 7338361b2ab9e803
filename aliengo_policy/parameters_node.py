"""Declares parameters on a ROS node; what they are is data of `parameters.Parameter`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from aliengo_policy.parameters import Parameter, check_range

__all__ = ["declare_parameters"]


def declare_parameters(node: Node, parameters: Sequence[Parameter]) -> dict[str, Any]:
    """Declare all parameters of a node, fixed from its start, and refuse those it does not have.

    Returns:
        Values by name.

    Raises:
        ValueError: for an unknown parameter, which ROS would ignore, or a value out of range.
        rclpy.exceptions.ParameterException: for a value of the wrong type or out of range.
    """
    values = {}
    for parameter in parameters:
        value = node.declare_parameter(
            parameter.name, parameter.default, _describe(parameter)
        ).value
        check_range(parameter, value)
        values[parameter.name] = value
    unknown = sorted(name for name in node._parameter_overrides if not node.has_parameter(name))
    if unknown:
        known = ", ".join(parameter.name for parameter in parameters)
        raise ValueError(f"unknown parameter {', '.join(unknown)}; known are: {known}")
    return values


def _describe(parameter: Parameter) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=parameter.description, read_only=True)
    low, high = parameter.low, parameter.high
    if low is None or high is None:
        return descriptor
    if isinstance(parameter.default, int):
        bounds = IntegerRange(from_value=int(low), to_value=int(high), step=1)
        descriptor.integer_range = [bounds]
    elif isinstance(parameter.default, float):
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    return descriptor
