"""What the bridge reports once a second, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from aliengo_bridge.limits import SafetyLimits
from aliengo_bridge.links.base import LinkCounters
from aliengo_bridge.safety import Mode, Status
from aliengo_bridge.timing import Punctuality
from aliengo_description import robot

__all__ = ["ERROR", "OK", "WARN", "Report", "link_report", "loop_report", "motor_report"]
__all__ += ["safety_report"]

OK, WARN, ERROR = 0, 1, 2


@dataclass(frozen=True)
class Report:
    """One status of `/diagnostics`."""

    name: str
    level: int
    message: str
    values: dict[str, str] = field(default_factory=dict)


def link_report(
    counters: LinkCounters, before: LinkCounters, state_age_s: float, timeout_s: float
) -> Report:
    """Return how the link does.

    Args:
        counters: Now.
        before: A second ago; what happened since then sets the level.
        state_age_s: Age of the newest state [s].
        timeout_s: Age at which a state is stale [s].
    """
    since = {k: v - getattr(before, k) for k, v in vars(counters).items()}
    complaints = {
        "foreign": "datagrams from others than the robot",
        "crc_errors": "states with a wrong checksum",
        "length_errors": "states with a wrong length",
        "out_of_order": "states out of order",
        "send_errors": "commands that could not be sent",
    }
    level, message = OK, f"{since['received']} states/s"
    if since["high_level"]:
        level = ERROR
        message = (
            "the robot answers in the vendor's high-level format: it is in sport mode, or the port "
            "is that of the high level (low level: 8007)"
        )
    elif state_age_s > timeout_s:
        level, message = ERROR, f"no state for {state_age_s:.2f} s"
    else:
        found = [f"{since[key]} {text}" for key, text in complaints.items() if since[key]]
        if since["lost"] > 25:  # more than 5 % of a second's 500
            found.append(f"{since['lost']} states lost")
        if found:
            level, message = WARN, "; ".join(found)
    values = {key: str(value) for key, value in vars(counters).items()}
    values["state_age_s"] = f"{state_age_s:.4f}"
    return Report("link", level, message, values)


def loop_report(
    times: Punctuality, missed_before: int, silence: str, values: dict[str, str]
) -> Report:
    """Return how punctual the control loop is.

    Args:
        times: Its statistics.
        missed_before: Missed deadlines by the statistics of the report before.
        silence: Why the statistics are old news; empty if they are not.
        values: More to tell, such as the scheduling.
    """
    missed = times.missed - missed_before
    level = WARN if missed > 5 or times.p99_s > 1e-3 else OK
    message = f"{times.rate_hz:.0f} Hz, jitter p99 {1e3 * times.p99_s:.2f} ms"
    if missed:
        message += f", {missed} deadlines missed since the last report"
    if silence:
        level, message = ERROR, silence
    return Report(
        "loop",
        level,
        message,
        {
            "rate_hz": f"{times.rate_hz:.2f}",
            "jitter_p50_s": f"{times.p50_s:.6f}",
            "jitter_p99_s": f"{times.p99_s:.6f}",
            "jitter_max_s": f"{times.max_s:.6f}",
            "ticks": str(times.ticks),
            "missed_deadlines": str(times.missed),
            **values,
        },
    )


def safety_report(status: Status, last_fault: str, values: dict[str, str]) -> Report:
    """Return the supervisor's state.

    Args:
        status: Its status.
        last_fault: The newest fault since the start, perhaps cleared meanwhile.
        values: More to tell.
    """
    level, message = OK, status.mode.value
    if status.fault:
        level, message = ERROR, f"{status.mode.value}: {status.fault}: {status.detail}"
    elif status.mode in (Mode.WAITING, Mode.CHECKING) or status.detail:
        level, message = WARN, f"{status.mode.value}: {status.detail}"
    return Report(
        "safety",
        level,
        message,
        {
            "mode": status.mode.value,
            "fault": status.fault,
            "fault_detail": status.detail,
            "active_faults": ", ".join(status.active_faults),
            "reset_required": str(status.reset_required),
            "last_fault": last_fault,
            **values,
        },
    )


def motor_report(temperature: np.ndarray | None, limits: SafetyLimits) -> Report:
    """Return how warm the motors are, from their temperatures (12,) [degC]."""
    if temperature is None:
        return Report("motors", WARN, "no state from the robot")
    hottest = int(np.argmax(temperature))
    level = OK
    if temperature[hottest] >= limits.temperature_stop_c:
        level = ERROR
    elif temperature[hottest] >= limits.temperature_warn_c:
        level = WARN
    values = {
        f"{name}_c": str(int(c)) for name, c in zip(robot.JOINT_NAMES, temperature, strict=True)
    }
    name = robot.JOINT_NAMES[hottest]
    return Report("motors", level, f"hottest is {name} at {temperature[hottest]} degC", values)
