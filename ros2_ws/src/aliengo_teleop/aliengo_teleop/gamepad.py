"""A Linux gamepad read through evdev, in the axis and button order of ROS's `joy` package.

`joy` numbers axes and buttons by ascending event code and reports left and up as +1, so one
profile serves both readers. Only `open_gamepad` needs the evdev package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["AxisRange", "GamepadError", "GamepadState", "follow", "open_gamepad"]

EV_SYN = 0x00
EV_KEY = 0x01
EV_ABS = 0x03
BTN_JOYSTICK = 0x120
BTN_DIGI = 0x140
ABS_HAT3Y = 0x17
SYN_DROPPED = 0x03
"""Event types and codes of linux/input-event-codes.h."""

_MOST_READS = 64


class GamepadError(RuntimeError):
    """No gamepad could be opened; the message says what to do."""


@dataclass(frozen=True)
class AxisRange:
    """Raw limits of one absolute axis as the kernel reports them."""

    minimum: int
    maximum: int

    def normalise(self, raw: int) -> float:
        """Maps a raw value to [-1, 1] with the sign of `joy` (left and up positive)."""
        span = self.maximum - self.minimum
        if span <= 0:
            return 0.0
        value = 2.0 * (raw - self.minimum) / span - 1.0
        return -min(max(value, -1.0), 1.0)


class GamepadState:
    """Axes and buttons of one device, kept up to date event by event."""

    def __init__(
        self,
        axes: Mapping[int, AxisRange],
        buttons: Sequence[int],
        initial: Mapping[int, int] | None = None,
    ) -> None:
        """Creates the state of a device.

        Args:
            axes: Raw range of each absolute axis by event code.
            buttons: Event codes of the keys.
            initial: Raw axis values at the start; a missing axis starts centred.
        """
        self._ranges = {code: axes[code] for code in sorted(axes) if code <= ABS_HAT3Y}
        codes = sorted(code for code in buttons if BTN_JOYSTICK <= code < BTN_DIGI)
        initial = initial or {}
        self._axes = {
            code: limits.normalise(initial[code]) if code in initial else 0.0
            for code, limits in self._ranges.items()
        }
        self._buttons = dict.fromkeys(codes, 0)

    def apply(self, event_type: int, code: int, value: int) -> None:
        """Takes one input event; events of unknown codes are ignored."""
        if event_type == EV_ABS and code in self._axes:
            self._axes[code] = self._ranges[code].normalise(value)
        elif event_type == EV_KEY and code in self._buttons:
            self._buttons[code] = int(value != 0)

    def resync(self, device: Any) -> None:
        """Asks the evdev device for its present state, instead of following its events."""
        held = set(device.active_keys())
        self._buttons = {code: int(code in held) for code in self._buttons}
        for code, limits in self._ranges.items():
            self._axes[code] = limits.normalise(device.absinfo(code).value)

    def read(self) -> tuple[list[float], list[int]]:
        """Returns axes and buttons in the order of `joy`."""
        return list(self._axes.values()), list(self._buttons.values())


def follow(device: Any, state: GamepadState) -> None:
    """Brings the state up to date with all events that wait.

    When this process was held up, the kernel's buffer may have overflowed and the release of a
    dead man may be among what was lost. The kernel says so (`SYN_DROPPED`), and the device is asked.

    Args:
        device: The evdev device; reading it does not wait.
        state: What follows it.

    Raises:
        OSError: If the device is gone.
    """
    dropped = False
    for _ in range(_MOST_READS):  # a read gives no more than 64 events
        try:
            events = list(device.read())
        except BlockingIOError:
            break
        if not events:
            break
        for event in events:
            dropped |= event.type == EV_SYN and event.code == SYN_DROPPED
            state.apply(event.type, event.code, event.value)
    if dropped:
        state.resync(device)


def open_gamepad(path: str = "") -> tuple[Any, GamepadState]:
    """Opens a gamepad.

    Args:
        path: Device file such as `/dev/input/event5`; empty takes the first device that has
            both gamepad buttons and a stick.

    Returns:
        The evdev device (with `fileno`, `read` and `name`) and its state.

    Raises:
        GamepadError: If evdev is missing, no gamepad is found or it may not be read.
    """
    try:
        import evdev
    except ImportError as error:
        raise GamepadError("a gamepad is read with evdev: pip install evdev") from error
    candidates = [path] if path else evdev.list_devices()
    for name in candidates:
        try:
            device = evdev.InputDevice(name)
        except OSError as error:
            if path:
                raise GamepadError(f"cannot open {path}: {error}; is it in group input?") from error
            continue
        capabilities: dict[int, Any] = device.capabilities(absinfo=True)
        buttons = [code for code in capabilities.get(EV_KEY, []) if BTN_JOYSTICK <= code < BTN_DIGI]
        axes: dict[int, Any] = dict(capabilities.get(EV_ABS, []))
        if buttons and axes:
            ranges = {code: AxisRange(info.min, info.max) for code, info in axes.items()}
            initial = {code: info.value for code, info in axes.items()}
            return device, GamepadState(ranges, buttons, initial)
        device.close()
    where = path or "any of " + (", ".join(candidates) or "(no readable /dev/input/event*)")
    raise GamepadError(
        f"no gamepad at {where}; plug one in, or let your user read it: "
        "sudo usermod -aG input $USER, then log in again"
    )
