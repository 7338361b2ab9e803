"""Declares parameters on a ROS node; what they are is data of `parameters.Parameter`."""

from __future__ import annotations

from typing import Any, Sequence

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from aliengo_description.parameters import Parameter, check_range

__all__ = ["declare_parameters"]


def declare_parameters(
    node: Node, parameters: Sequence[Parameter], others: Sequence[Parameter] = ()
) -> dict[str, Any]:
    """Declare all parameters of a node and refuse those it does not have.

    Args:
        node: that has them.
        parameters: of the node.
        others: of another node that is given the same files.

    Returns:
        Values by name.

    Raises:
        ValueError: for an unknown parameter, which ROS would ignore, or a value out of range.
        rclpy.exceptions.ParameterException: for a value of the wrong type.
    """
    given = node._parameter_overrides
    values = {}
    for parameter in parameters:
        # A number first by our check, whose message says what is allowed.
        value = given[parameter.name].value if parameter.name in given else parameter.default
        if parameter.is_number and type(value) is type(parameter.default):
            check_range(parameter, value)
        value = node.declare_parameter(
            parameter.name, parameter.default, _describe(parameter)
        ).value
        check_range(parameter, value)
        values[parameter.name] = value
    known = list(dict.fromkeys(parameter.name for parameter in (*parameters, *others)))
    unknown = sorted(name for name in given if not node.has_parameter(name) and name not in known)
    if unknown:
        raise ValueError(f"unknown parameter {', '.join(unknown)}; known are: {', '.join(known)}")
    return values


def _describe(parameter: Parameter) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(
        description=parameter.description, read_only=parameter.read_only
    )
    low, high = parameter.low, parameter.high
    if not parameter.is_number or low is None or high is None:
        return descriptor
    if isinstance(parameter.default, int):
        bounds = IntegerRange(from_value=int(low), to_value=int(high), step=1)
        descriptor.integer_range = [bounds]
    else:
        span = FloatingPointRange(from_value=float(low), to_value=float(high))
        descriptor.floating_point_range = [span]
    return descriptor
