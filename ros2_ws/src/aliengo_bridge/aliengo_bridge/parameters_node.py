"""The bridge node's parameters, declared from the typed settings and limits."""

from __future__ import annotations

from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from aliengo_bridge.limits import SafetyLimits, limit_specs
from aliengo_bridge.settings import Settings, settings_specs

__all__ = ["LIMIT_PREFIX", "declare_limits", "declare_settings", "refuse_unknown_parameters"]

LIMIT_PREFIX = "limits."


def declare_settings(node: Node) -> Settings:
    """Declare where the robot is and how the bridge runs; read-only parameters."""
    values: dict[str, Any] = {}
    for name, (default, spec) in settings_specs().items():
        descriptor = ParameterDescriptor(description=spec.description, read_only=True)
        if spec.lowest is not None and spec.highest is not None:
            descriptor.integer_range = [IntegerRange(from_value=spec.lowest, to_value=spec.highest)]
        values[name] = node.declare_parameter(name, default, descriptor).value
    return Settings(**values)


def declare_limits(node: Node) -> SafetyLimits:
    """Declare the safety limits, which may be tightened while the bridge runs."""
    values: dict[str, Any] = {}
    for name, spec in limit_specs().items():
        descriptor = ParameterDescriptor(
            description=f"{spec.description} [{spec.unit}]",
            additional_constraints=f"while the bridge runs: {spec.tighter} only",
            read_only=spec.tighter == "fixed",
        )
        default = getattr(SafetyLimits(), name)
        if isinstance(default, int):
            descriptor.integer_range = [
                IntegerRange(from_value=int(spec.lowest), to_value=int(spec.highest))
            ]
        else:
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=spec.lowest, to_value=spec.highest)
            ]
        values[name] = node.declare_parameter(LIMIT_PREFIX + name, default, descriptor).value
    return SafetyLimits(**values)


def refuse_unknown_parameters(node: Node) -> None:
    """Raise for a misspelt key in a parameter file, which ROS would ignore."""
    unknown = [name for name in node._parameter_overrides if not node.has_parameter(name)]
    if unknown:
        known = [*settings_specs(), *(LIMIT_PREFIX + name for name in limit_specs())]
        raise ValueError(f"unknown parameter {', '.join(unknown)}; known: {', '.join(known)}")
