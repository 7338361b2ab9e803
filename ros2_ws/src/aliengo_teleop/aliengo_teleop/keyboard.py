"""A terminal as a joystick: keys in, the axes and buttons of a virtual pad out.

A terminal reports key presses and their repetition, never a release. A key therefore counts
as held until its next repetition is overdue: the first press for as long as terminals wait
before they repeat, later ones for a few repetition periods.
"""

from __future__ import annotations

from aliengo_teleop.mapping import REQUESTS

__all__ = ["AXES", "BUTTONS", "ESTOP", "HELP", "KeyboardPad"]

AXES = ("vx", "vy", "wz")
BUTTONS = ("enable", "turbo", *REQUESTS)

FIRST_HOLD_S = 0.6
"""Terminals commonly start to repeat after 0.25 to 0.5 s."""
REPEAT_HOLD_S = 0.15
"""Terminals commonly repeat at 25 to 33 Hz; a few lost repetitions are bridged."""
ESTOP_HOLD_S = 0.3
"""`joy` is best effort: the e-stop is in so many messages that some arrive."""
ESCAPE_S = 0.1
"""Arrow and function keys send ESC and then letters, in one piece or soon after it."""

_MOTION = {
    "w": ("vx", 1.0),
    "s": ("vx", -1.0),
    "a": ("vy", 1.0),
    "d": ("vy", -1.0),
    "q": ("wz", 1.0),
    "e": ("wz", -1.0),
}
_PULSE = {
    "1": "stand_up",
    "2": "stand",
    "3": "walk",
    "4": "sit_down",
    "0": "damping",
    "r": "reset",
    "p": "next_policy",
}

ESTOP = " "
ESCAPE = "\x1b"

HELP = """\
hold  w/s forward, back   a/d left, right   q/e turn left, right   (capitals: turbo)
press 1 stand up   2 stand   3 walk   4 sit down   0 damping   p next policy
      space E-STOP   r reset the fault   x quit
"""


class KeyboardPad:
    """Remembers which keys are held and reports them as a joystick."""

    def __init__(self) -> None:
        """Starts with no key held."""
        self._held_until: dict[tuple[str, float], float] = {}
        self._turbo = False
        self._pulses: set[str] = set()
        self._estop_until = float("-inf")
        self._escape_until = float("-inf")

    def press(self, key: str, now: float) -> None:
        """Takes one character from the terminal at monotonic time `now` [s]."""
        if key == ESCAPE:
            self._escape_until = now + ESCAPE_S
        motion = _MOTION.get(key.lower())
        if key == ESTOP:
            self._estop_until = now + ESTOP_HOLD_S
            self._held_until.clear()
        elif now < self._escape_until:
            self._held_until.clear()
        elif motion is not None:
            repeated = self._held_until.get(motion, float("-inf")) >= now
            hold = REPEAT_HOLD_S if repeated else FIRST_HOLD_S
            self._held_until[motion] = now + hold
            self._turbo = key.isupper()
        elif key in _PULSE:
            self._pulses.add(_PULSE[key])
        else:
            # Any other key lets go of everything: what a startled operator hits must stop.
            self._held_until.clear()

    def read(self, now: float) -> tuple[list[float], list[int]]:
        """Returns axes and buttons at `now` [s]; a request is reported once, the e-stop longer."""
        deflection = dict.fromkeys(AXES, 0.0)
        pressed = set(self._pulses)
        self._pulses.clear()
        if now < self._estop_until:
            pressed.add("estop")
            self._held_until.clear()
        held = [motion for motion, until in self._held_until.items() if until >= now]
        for axis, sign in held:
            deflection[axis] += sign
        if held:
            pressed.add("turbo" if self._turbo else "enable")
        return [deflection[axis] for axis in AXES], [int(name in pressed) for name in BUTTONS]
