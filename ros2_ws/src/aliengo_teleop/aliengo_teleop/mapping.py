"""From the axes and buttons of a joystick to a velocity command and requests.

The parameters carry the names and meanings of ROS's `teleop_twist_joy`, so that its
profiles can be reused; what it lacks (requests on button chords, a dead zone) is added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["REQUESTS", "JoyMapper", "JoyMapping", "JoyReading", "Velocity", "apply_dead_zone"]

REQUESTS = (
    "stand_up",
    "stand",
    "walk",
    "sit_down",
    "damping",
    "estop",
    "reset",
    "next_policy",
)
"""What a chord of buttons can ask for; the first five are modes of the policy node."""


class Velocity(NamedTuple):
    """A velocity command in `base_link`: vx and vy in m/s, wz in rad/s."""

    vx: float = 0.0
    vy: float = 0.0
    wz: float = 0.0


@dataclass(frozen=True)
class JoyMapping:
    """Which axis and button of one device means what.

    Axis indices below 0 mean "not mapped". Scales are the velocity at full deflection, in
    m/s and rad/s; a negative scale turns an axis round.

    Attributes:
        axes: Index into `Joy.axes` for vx, vy and wz.
        scales: Velocity at full deflection for vx, vy and wz.
        turbo_scales: The same while the turbo button is held.
        enable_button: The dead man: without it the command is not active.
        enable_turbo_button: Dead man with the turbo scales; below 0 = none.
        require_enable_button: False makes the device active whenever it is alive.
        deadzone: Fraction of the deflection that counts as zero, in [0, 1).
        chords: For each request the buttons that must be held together; empty = unmapped.
    """

    axes: tuple[int, int, int]
    scales: tuple[float, float, float]
    turbo_scales: tuple[float, float, float]
    enable_button: int
    enable_turbo_button: int = -1
    require_enable_button: bool = True
    deadzone: float = 0.1
    chords: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuses a mapping that could never work, naming the field."""
        if not 0.0 <= self.deadzone < 1.0:
            raise ValueError(f"deadzone is {self.deadzone}; allowed is 0 <= deadzone < 1")
        if self.require_enable_button and self.enable_button < 0:
            raise ValueError(
                f"enable_button is {self.enable_button} while require_enable_button is true; "
                "give a button index >= 0"
            )
        unknown = sorted(set(self.chords) - set(REQUESTS))
        if unknown:
            raise ValueError(f"unknown button names {unknown}; allowed are {list(REQUESTS)}")
        for name, chord in self.chords.items():
            if any(button < 0 for button in chord):
                raise ValueError(f"buttons.{name} is {list(chord)}; button indices must be >= 0")


class JoyReading(NamedTuple):
    """What one joystick message means.

    Attributes:
        enabled: The dead man is held.
        velocity: The command; zero when not enabled.
        requests: Requests whose chord was completed by this message.
    """

    enabled: bool
    velocity: Velocity
    requests: tuple[str, ...]


def apply_dead_zone(value: float, deadzone: float) -> float:
    """Removes the dead zone and rescales the rest, so that the output still spans [-1, 1].

    Args:
        value: Deflection; values outside [-1, 1] are clipped and NaN counts as centred.
        deadzone: Fraction of the deflection that maps to zero.
    """
    if value != value:
        return 0.0
    magnitude = min(abs(value), 1.0)
    if magnitude <= deadzone:
        return 0.0
    scaled = (magnitude - deadzone) / (1.0 - deadzone)
    return scaled if value > 0.0 else -scaled


class JoyMapper:
    """Applies a `JoyMapping` to a stream of messages of one device.

    Requests fire once, on the message that completes their chord. A chord that is part of a
    larger completed chord stays silent (A alone does not fire while L2+A does), and buttons
    that are already held when the device appears do not fire. Neither holds for the e-stop: whoever
    presses it wants it, whatever else is held and even if the message of the press was lost.
    """

    def __init__(self, mapping: JoyMapping) -> None:
        """Starts with no message seen."""
        self._mapping = mapping
        self._held: frozenset[str] | None = None

    def reset(self) -> None:
        """Forgets the device, as after a time-out: buttons must be pressed anew, bar the e-stop."""
        self._held = None

    def read(self, axes: Sequence[float], buttons: Sequence[int]) -> JoyReading:
        """Interprets one message; an axis or button that the device lacks reads as zero."""
        mapping = self._mapping
        turbo = _pressed(buttons, mapping.enable_turbo_button)
        enabled = (
            not mapping.require_enable_button or turbo or _pressed(buttons, mapping.enable_button)
        )
        scales = mapping.turbo_scales if turbo else mapping.scales
        velocity = Velocity(
            *(
                apply_dead_zone(_axis(axes, index), mapping.deadzone) * scale
                for index, scale in zip(mapping.axes, scales, strict=True)
            )
        )
        return JoyReading(enabled, velocity if enabled else Velocity(), self._new_requests(buttons))

    def _new_requests(self, buttons: Sequence[int]) -> tuple[str, ...]:
        chords = {
            name: set(chord)
            for name, chord in self._mapping.chords.items()
            if chord and all(_pressed(buttons, button) for button in chord)
        }
        held = frozenset(
            name
            for name, chord in chords.items()
            if name == "estop" or not any(chord < other for other in chords.values())
        )
        before, self._held = self._held, held
        if before is None:
            return ("estop",) if "estop" in held else ()
        return tuple(name for name in REQUESTS if name in held - before)


def _pressed(buttons: Sequence[int], index: int) -> bool:
    return 0 <= index < len(buttons) and bool(buttons[index])


def _axis(axes: Sequence[float], index: int) -> float:
    return float(axes[index]) if 0 <= index < len(axes) else 0.0
