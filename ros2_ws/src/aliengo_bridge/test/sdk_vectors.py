"""Reads the captured SDK datagrams in `data/`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aliengo_bridge.messages import LowCommand, LowState

# Written out by hand, so that the code under test cannot agree with itself: the robot's legs are
# FR, FL, RR, RL.
MOTORS_POLICY_FROM_SDK = [3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8, *range(12, 20)]
FEET_POLICY_FROM_SDK = [1, 0, 3, 2]

_DATA = Path(__file__).parent / "data" / "sdk_3_8_4_datagrams.txt"
_PER_FOOT = ("foot_force", "foot_force_est")
_COMMAND_MOTOR = ("mode", "q", "dq", "tau", "kp", "kd", "motor_reserve")
_STATE_MOTOR = ("ddq", "tau_est", "q_raw", "dq_raw", "ddq_raw", "temperature")


@dataclass(frozen=True)
class Vector:
    """One captured datagram and the values that the SDK's user saw, in the SDK's order."""

    datagram: bytes
    values: dict[str, list[float]]

    def command(self) -> LowCommand:
        """Return the values as a command in policy order."""
        return _fill(LowCommand(), self.values)

    def state(self) -> LowState:
        """Return the values as a state in policy order."""
        return _fill(LowState(), self.values)


def load() -> dict[str, Vector]:
    """Return the captured datagrams by name."""
    vectors: dict[str, Vector] = {}
    for line in _DATA.read_text().splitlines():
        if line.startswith("#"):
            continue
        key, *words = line.split()
        if key.startswith("["):
            values: dict[str, list[float]] = {}
            name = key.strip("[]")
        elif key == "hex":
            vectors[name] = Vector(bytes.fromhex(words[0]), values)
        else:
            values[key] = [float(word) if "." in word else int(word) for word in words]
    return vectors


def _fill(message, values):  # type: ignore[no-untyped-def]
    for key, numbers in values.items():
        current = getattr(message, key)
        if not isinstance(current, np.ndarray):
            setattr(message, key, numbers[0])
            continue
        array = np.array(numbers).reshape(current.shape)
        if key in _COMMAND_MOTOR or key in _STATE_MOTOR:
            array = array[MOTORS_POLICY_FROM_SDK]
        elif key in _PER_FOOT:
            array = array[FEET_POLICY_FROM_SDK]
        setattr(message, key, array)
    return message
