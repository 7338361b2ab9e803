"""What the supervisor allows, as one typed record that documents itself.

Every field carries its unit, range and description, from which the node declares its parameters and
by which a change at run time is judged: tightening is allowed, loosening needs a restart.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from aliengo_description import robot

__all__ = ["LimitSpec", "LooseningError", "SafetyLimits", "limit_specs"]

Direction = Literal["lower", "higher", "fixed"]


class LooseningError(ValueError):
    """A change at run time would loosen a limit, or touch one that is fixed."""


@dataclass(frozen=True)
class LimitSpec:
    """What a limit means and which values it may take."""

    description: str
    unit: str
    lowest: float
    highest: float
    tighter: Direction
    """Which way is the safe way; `fixed` limits do not change while the bridge runs."""


def _limit(
    default: float,
    lowest: float,
    highest: float,
    unit: str,
    tighter: Direction,
    description: str,
) -> Any:
    spec = LimitSpec(description, unit, lowest, highest, tighter)
    return field(default=default, metadata={"spec": spec})


@dataclass(frozen=True)
class SafetyLimits:
    """The limits of the supervisor. Unit and meaning of each stand in its `LimitSpec`.

    Raises:
        ValueError: If a value is outside its range.
    """

    command_timeout_s: float = _limit(
        0.1, 0.02, 0.1, "s", "lower", "without a fresh command for this long: damping"
    )
    state_timeout_s: float = _limit(
        0.05, 0.01, 0.1, "s", "lower", "without a valid state for this long: damping"
    )
    stall_credit_s: float = _limit(
        0.25,
        0.0,
        0.5,
        "s",
        "fixed",
        "most time that stalls of the bridge itself may add to a timeout",
    )
    confirm_states: int = _limit(
        3, 1, 5, "states", "lower", "states in a row that must show a violation to make it a fault"
    )
    power_confirm_states: int = _limit(
        6,
        1,
        10,
        "states",
        "lower",
        "the same for power: landings of a fast gait may brake with more than the limit for 10 ms",
    )
    joint_margin_rad: float = _limit(
        0.0, 0.0, 0.5, "rad", "higher", "distance that targets keep from the joint limits"
    )
    far_outside_rad: float = _limit(
        1.5, 0.05, 3.0, "rad", "lower", "a target this far beyond the joint limits is a fault"
    )
    implausible_rad: float = _limit(
        0.35,
        0.05,
        1.0,
        "rad",
        "lower",
        "a joint measured this far beyond its stops is not believed",
    )
    target_step_rad: float = _limit(
        0.3, 0.001, 1.0, "rad", "lower", "most that a joint target moves in one tick"
    )
    engage_error_rad: float = _limit(
        0.5,
        0.05,
        1.0,
        "rad",
        "lower",
        "the first targets of a commander must be this close to the measured joints",
    )
    torque_fraction: float = _limit(
        1.0,
        0.05,
        1.0,
        "1",
        "lower",
        "predicted joint torque allowed, as a part of the motor's limit",
    )
    velocity_fraction: float = _limit(
        1.25, 0.1, 1.5, "1", "lower", "joint speed that is a fault, as a part of the motor's limit"
    )
    tilt_rad: float = _limit(
        1.0, 0.2, 1.4, "rad", "lower", "angle between the body's and the world's vertical: damping"
    )
    kp_max: float = _limit(
        robot.KP_MAX, 1.0, robot.KP_MAX, "N m/rad", "lower", "largest position gain accepted"
    )
    kd_max: float = _limit(
        robot.KD_MAX, 0.5, robot.KD_MAX, "N m s/rad", "lower", "largest velocity gain accepted"
    )
    power_w: float = _limit(
        1000.0, 100.0, 1000.0, "W", "lower", "largest sum of |torque x speed| over all joints"
    )
    temperature_warn_c: float = _limit(
        60.0, 30.0, 100.0, "degC", "lower", "motor temperature that is reported"
    )
    temperature_stop_c: float = _limit(
        75.0, 30.0, 100.0, "degC", "lower", "motor temperature at which the robot sits down"
    )
    foreign_torque_nm: float = _limit(
        8.0,
        1.0,
        30.0,
        "N m",
        "lower",
        "torque that nobody here commanded and that betrays another controller",
    )
    ownership_check_s: float = _limit(
        0.5, 0.1, 10.0, "s", "higher", "how long the robot must look free before commands reach it"
    )
    still_velocity_rad_s: float = _limit(
        0.5, 0.05, 1.0, "rad/s", "lower", "a robot whose joints and body turn slower stands still"
    )
    hold_s: float = _limit(
        0.3, 0.0, 2.0, "s", "fixed", "how long a pose is held before the robot sits down"
    )
    sit_down_s: float = _limit(2.5, 1.0, 10.0, "s", "fixed", "how long sitting down takes")
    sit_down_kp: float = _limit(
        60.0, 10.0, 100.0, "N m/rad", "fixed", "position gain for holding and sitting down"
    )
    sit_down_kd: float = _limit(
        3.0, 0.5, 10.0, "N m s/rad", "fixed", "velocity gain for holding and sitting down"
    )
    damping_kd: float = _limit(
        5.0, 1.0, 20.0, "N m s/rad", "fixed", "velocity gain of the damping that ends every fault"
    )
    exit_damping_s: float = _limit(
        2.0,
        0.1,
        10.0,
        "s",
        "fixed",
        "longest time for which damping is sent before the process ends",
    )

    def __post_init__(self) -> None:
        for name, spec in limit_specs().items():
            value = getattr(self, name)
            if not spec.lowest <= value <= spec.highest:
                raise ValueError(
                    f"{name} is {value} {spec.unit}, allowed are {spec.lowest} to {spec.highest}"
                )

    def tightened(self, changes: dict[str, Any]) -> SafetyLimits:
        """Return these limits with some of them tightened.

        Args:
            changes: New values by name.

        Raises:
            LooseningError: If a change loosens a limit or touches a fixed one.
            ValueError: If a name is unknown or a value outside its range.
        """
        specs = limit_specs()
        for name, value in changes.items():
            if name not in specs:
                raise ValueError(f"unknown limit '{name}', there are {', '.join(specs)}")
            current, direction = getattr(self, name), specs[name].tighter
            if direction == "fixed" and value != current:
                raise LooseningError(f"{name} is fixed while the bridge runs (now {current})")
            looser = value > current if direction == "lower" else value < current
            if looser and direction != "fixed":
                raise LooseningError(
                    f"{name} may only be made {direction} while the bridge runs: "
                    f"now {current} {specs[name].unit}, asked for {value}"
                )
        return replace(self, **changes)


def limit_specs() -> dict[str, LimitSpec]:
    """Return the specification of every limit by name."""
    return {item.name: item.metadata["spec"] for item in fields(SafetyLimits)}
