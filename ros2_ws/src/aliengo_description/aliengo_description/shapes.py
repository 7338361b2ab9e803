"""What the robot looks like and what it can touch: primitive shapes per link.

Collision shapes have the sizes of Unitree's own files; visual shapes are ours, drawn after the real
robot.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Tuple

from aliengo_description.robot import (
    CALF_LENGTH,
    FOOT_RADIUS,
    HIP_JOINT_X,
    HIP_OFFSET_Y,
    LEG_FRONT,
    LEG_SIDE,
    THIGH_LENGTH,
)

__all__ = ["COLOURS", "Shape", "collision_shape", "visual_shapes"]

Vector = Tuple[float, float, float]

COLOURS: dict[str, tuple[float, float, float, float]] = {
    "silver": (0.80, 0.81, 0.83, 1.0),
    "graphite": (0.16, 0.17, 0.19, 1.0),
    "rubber": (0.07, 0.07, 0.08, 1.0),
    "lens": (0.05, 0.10, 0.18, 1.0),
    "accent": (0.10, 0.55, 0.85, 1.0),
}

_ALONG_X: Vector = (0.0, math.pi / 2, 0.0)  # turns a cylinder's axis from z to x
_ALONG_Y: Vector = (math.pi / 2, 0.0, 0.0)


@dataclass(frozen=True)
class Shape:
    """A primitive, posed in the frame of its link.

    Attributes:
        kind: "box", "cylinder" or "sphere".
        size: Full lengths (x, y, z) of a box, (radius, length) of a cylinder, (radius,) of a
            sphere [m].
        position: Centre [m].
        rpy: Roll, pitch, yaw about fixed axes [rad].
        colour: A key of `COLOURS`; unused for collision.
    """

    kind: str
    size: tuple[float, ...]
    position: Vector = (0.0, 0.0, 0.0)
    rpy: Vector = (0.0, 0.0, 0.0)
    colour: str = "silver"


def collision_shape(part: str, leg: int = 0) -> Shape:
    """Return the collision shape of "trunk", "hip", "thigh", "calf" or "foot" (of leg 0..3).

    The hip's cylinder sits at its thigh joint: left of the hip frame for left legs.

    Raises:
        ValueError: If the part is unknown.
    """
    at_thigh = (0.0, float(LEG_SIDE[leg]) * HIP_OFFSET_Y, 0.0)
    shapes = {
        "trunk": Shape("box", (0.647, 0.15, 0.112)),
        "hip": Shape("cylinder", (0.046, 0.0418), at_thigh, _ALONG_Y),
        "thigh": Shape("box", (0.043, 0.0374, THIGH_LENGTH), (0.0, 0.0, -THIGH_LENGTH / 2)),
        "calf": Shape("box", (0.016, 0.0208, CALF_LENGTH), (0.0, 0.0, -CALF_LENGTH / 2)),
        "foot": Shape("sphere", (FOOT_RADIUS,)),
    }
    if part not in shapes:
        raise ValueError(f"unknown part {part!r}; known: {', '.join(shapes)}")
    return shapes[part]


def visual_shapes(part: str, leg: int = 0) -> list[Shape]:
    """Return the visual shapes of "trunk", "hip", "thigh", "calf" or "foot" (of leg 0..3).

    Raises:
        ValueError: If the part is unknown.
    """
    side, front = float(LEG_SIDE[leg]), float(LEG_FRONT[leg])
    if part == "trunk":
        return _trunk()
    if part == "hip":
        return [
            Shape("cylinder", (0.044, 0.075), (-front * 0.055, 0.0, 0.0), _ALONG_X, "graphite"),
            Shape("box", (0.07, 0.05, 0.07), (0.0, side * 0.025, 0.0), colour="silver"),
            Shape("cylinder", (0.047, 0.052), (0.0, side * 0.062, 0.0), _ALONG_Y, "graphite"),
            Shape("cylinder", (0.036, 0.006), (0.0, side * 0.033, 0.0), _ALONG_Y, "accent"),
        ]
    if part == "thigh":
        return [
            Shape("cylinder", (0.045, 0.04), (0.0, side * 0.012, 0.0), _ALONG_Y, "silver"),
            Shape("cylinder", (0.028, 0.004), (0.0, side * 0.034, 0.0), _ALONG_Y, "graphite"),
            Shape("box", (0.052, 0.034, 0.12), (-0.004, 0.0, -0.06), (0.0, 0.06, 0.0), "silver"),
            Shape("box", (0.038, 0.03, 0.14), (0.0, 0.0, -0.175), colour="silver"),
            Shape("cylinder", (0.023, 0.04), (0.0, 0.0, -THIGH_LENGTH), _ALONG_Y, "graphite"),
        ]
    if part == "calf":
        return [
            Shape("box", (0.024, 0.022, 0.09), (0.004, 0.0, -0.045), (0.0, -0.08, 0.0), "graphite"),
            Shape("cylinder", (0.0095, 0.16), (0.0035, 0.0, -0.16), (0.0, 0.04, 0.0), "graphite"),
        ]
    if part == "foot":
        return [Shape("sphere", (FOOT_RADIUS,), colour="rubber")]
    raise ValueError(f"unknown part {part!r}; known: trunk, hip, thigh, calf, foot")


def _trunk() -> list[Shape]:
    """A flat silver back, a dark belly, a head with cameras, a tail plate, hip motors between."""
    shapes = [
        Shape("box", (0.40, 0.146, 0.078), (0.0, 0.0, 0.012), colour="silver"),
        Shape("box", (0.36, 0.12, 0.034), (0.0, 0.0, -0.040), colour="graphite"),
        Shape("box", (0.30, 0.09, 0.012), (0.0, 0.0, 0.056), colour="graphite"),
        Shape("box", (0.05, 0.10, 0.004), (0.09, 0.0, 0.063), colour="accent"),
    ]
    for end in (1.0, -1.0):
        x = end * HIP_JOINT_X
        shapes.append(Shape("box", (0.09, 0.07, 0.085), (x, 0.0, 0.0), colour="graphite"))
        shapes += [
            Shape("cylinder", (0.047, 0.02), (end * 0.205, side * 0.051, 0.0), _ALONG_X, "silver")
            for side in (1.0, -1.0)
        ]
    shapes += [
        Shape("box", (0.045, 0.135, 0.098), (0.296, 0.0, 0.004), colour="silver"),  # head
        Shape("box", (0.008, 0.11, 0.05), (0.3195, 0.0, 0.008), colour="graphite"),
        Shape("cylinder", (0.012, 0.004), (0.3245, 0.028, 0.012), _ALONG_X, "lens"),
        Shape("cylinder", (0.012, 0.004), (0.3245, -0.028, 0.012), _ALONG_X, "lens"),
        Shape("box", (0.003, 0.03, 0.006), (0.3245, 0.0, 0.026), colour="accent"),
        Shape("box", (0.04, 0.13, 0.09), (-0.296, 0.0, 0.004), colour="silver"),  # tail
        Shape("box", (0.004, 0.06, 0.02), (-0.317, 0.0, 0.012), colour="graphite"),
    ]
    return shapes
