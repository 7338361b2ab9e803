"""The supervisor between every commander and the robot.

It has no clock and no thread: whoever runs it says what time it is. Each tick it takes the newest
state, judges state and commander, and gives the one command that may go out.

    WAITING -> CHECKING -> IDLE <-> ACTIVE
                             any -> HOLD -> SIT_DOWN -> DAMPING -> (reset) -> IDLE
                                                        DAMPING -> (in other hands) -> CHECKING

Until the robot is seen to be free (CHECKING) it is sent nothing that would take it from whoever
controls it; the same holds for one that comes back after seconds of silence, and for one that lies
damped and is given to the vendor's controller. Faults latch: the first one is the reason, later ones
can only make the reaction harsher, and only an explicit reset with the robot still leads back to
IDLE. After it the commander must let go, once, before the robot is driven again.
"""

from __future__ import annotations

import numpy as np

from aliengo_bridge.ages import StallAwareAge
from aliengo_bridge.checks import Problem, command_problem, held_joints, is_passive, state_problems
from aliengo_bridge.decision import Decision, Mode, Status
from aliengo_bridge.faults import FAULTS, Fault, Reaction
from aliengo_bridge.limits import SafetyLimits
from aliengo_bridge.messages import (
    JOINT_COUNT,
    LEVEL_LOW,
    LowCommand,
    LowState,
    damping_command,
    released_command,
)
from aliengo_bridge.ownership import OwnershipCheck
from aliengo_bridge.remote import decode_remote
from aliengo_bridge.servo import ServoWatch
from aliengo_bridge.shaping import CommandShaper
from aliengo_bridge.sitting import SitDown
from aliengo_description import robot

__all__ = ["Decision", "Mode", "Status", "Supervisor"]

_JOINTS = slice(0, JOINT_COUNT)
_LET_GO_S = 5.0
"""A faulty robot that is silent for this long has sunk down, and may return in other hands [s]."""
_HANDED_OVER_S = 1.0
"""A damped robot that is at rest and says for this long that it is in other hands, is [s]."""


class Supervisor:
    """Judges states and commands and decides what the robot is sent."""

    def __init__(self, limits: SafetyLimits | None = None, *, shadow: bool = False) -> None:
        """Start without a robot.

        Args:
            limits: What is allowed.
            shadow: Whether commands are withheld from the robot.
        """
        self._limits = limits or SafetyLimits()
        self._shadow = shadow
        self._mode = Mode.WAITING
        self._status = Status()
        self._status_key: object = None
        self._faults: dict[Fault, str] = {}
        self._conditions: dict[Fault, str] = {}
        self._confirmations: dict[Fault, int] = {}
        self._blockers: list[Problem] = []
        self._refusal = ""
        self._must_let_go = False
        self._foreign_s = 0.0
        self._state: LowState | None = None
        self._command: LowCommand | None = None
        self._now: float | None = None
        self._state_age = StallAwareAge(self._limits.stall_credit_s)
        self._command_age = StallAwareAge(self._limits.stall_credit_s)
        self._ownership = OwnershipCheck()
        self._shaper = CommandShaper()
        self._sit_down: SitDown | None = None
        self._servo = ServoWatch()

    @property
    def limits(self) -> SafetyLimits:
        """The limits in force."""
        return self._limits

    @property
    def status(self) -> Status:
        """The present status."""
        return self._status

    @property
    def ages_s(self) -> tuple[float, float]:
        """Age of the newest state and of the newest accepted command [s]."""
        return self._state_age.age_s, self._command_age.age_s

    @property
    def at_rest(self) -> bool:
        """Whether the robot's joints and body hardly move, as far as is known."""
        state = self._state
        if state is None:
            return True
        fastest = max(np.abs(state.dq[_JOINTS]).max(), np.abs(state.gyroscope).max())
        return bool(fastest < self._limits.still_velocity_rad_s)

    def tighten(self, changes: dict[str, float]) -> None:
        """Tighten limits while running.

        Raises:
            ValueError: If a change loosens a limit, is unknown or out of range. Nothing changes.
        """
        self._limits = self._limits.tightened(changes)

    def on_state(self, state: LowState) -> bool:
        """Take a new state.

        Returns:
            Whether it is believable. One that is not counts as not received.
        """
        expected = self._servo.expected(driven=self._mode.driven)
        problems = state_problems(state, self._limits, expected)
        self._confirm(problems)
        if any(fault is Fault.STATE_INVALID for fault, _ in problems):
            return False
        self._state = state
        self._state_age.reset()
        driven, released = self._mode.driven, self._mode.released
        self._servo.see(state.mode[_JOINTS], driven=driven, released=released)
        if self._mode is Mode.WAITING:
            self._mode = Mode.CHECKING
        if decode_remote(state.wireless_remote).stop:
            self.report(Fault.REMOTE_STOP, "L2+B on the remote")
        return True

    def on_command(self, command: LowCommand) -> None:
        """Take a command from the commander. A broken one is a fault if it drives the robot."""
        problem = command_problem(command, self._limits)
        if problem is not None:
            self._refusal = problem[1]
            if self._mode is Mode.ACTIVE:
                self._latch(*problem)
            return
        passive = is_passive(command)
        if self._mode is Mode.ACTIVE and passive:
            self._mode = Mode.IDLE
        if self._mode is Mode.IDLE and not passive:
            self._refusal = self._engage(command)
            if self._refusal:
                return
        if passive:
            self._refusal = ""
            self._must_let_go = False
        self._command = command
        self._command_age.reset()

    def report(self, fault: Fault, detail: str) -> None:
        """Latch a fault that others have found, such as an emergency stop."""
        self._latch(fault, detail)
        self._update_status()  # now: after a crash of the loop there is no further tick

    def set_condition(self, fault: Fault, detail: str | None) -> None:
        """Say that an outside cause of a fault is present (with a detail), or gone (None).

        While it is present the fault is latched and no reset succeeds. A better detail of the
        same cause replaces the earlier one.
        """
        if detail is None:
            self._conditions.pop(fault, None)
            return
        previous = self._conditions.get(fault)
        self._conditions[fault] = detail
        self._latch(fault, detail)
        if self._faults[fault] == previous:
            self._faults[fault] = detail

    def reset(self) -> tuple[bool, str]:
        """Forget the faults, if the robot is still and every cause is gone.

        Returns:
            Whether that was done, and what was in the way.
        """
        if not self._faults:
            return True, "there was no fault"
        obstacle = self._reset_obstacle()
        if obstacle:
            return False, f"not reset: {obstacle}"
        cleared = ", ".join(fault.value for fault in self._faults)
        self._faults.clear()
        self._sit_down = None
        self._command = None
        self._refusal = ""
        # Who still drives has not noticed that the robot went down: it may not stand up by itself.
        self._must_let_go = True
        if not self._mode.released:
            self._mode = Mode.IDLE
        return True, f"cleared {cleared}"

    def step(self, now: float) -> Decision:
        """Return what to send in this tick.

        Args:
            now: Time of a monotonic clock [s].
        """
        elapsed = 0.0 if self._now is None else max(0.0, now - self._now)
        self._now = now
        self._state_age.advance(elapsed)
        self._command_age.advance(elapsed)
        self._check_ages()
        command = self._command_for_mode(elapsed)
        self._update_status()
        sent = released_command() if self._shadow else command
        return Decision(sent, command, self._status)

    def _command_for_mode(self, elapsed: float) -> LowCommand:
        state = self._state
        if self._mode.released or state is None:
            if state is not None:
                self._check_ownership(state, elapsed)
            return released_command()
        if self._mode is Mode.IDLE:
            self._check_ownership(state, elapsed)
        if self._handed_over(state, elapsed):
            self._mode = Mode.CHECKING
            self._ownership.restart()
            return released_command()
        if self._mode is Mode.ACTIVE and self._command is not None:
            return self._shaper.shape(self._command, state, self._limits)
        if self._mode in (Mode.HOLD, Mode.SIT_DOWN) and self._sit_down is not None:
            wanted = self._sit_down.advance(elapsed)
            self._mode = Mode.HOLD if self._sit_down.holding else Mode.SIT_DOWN
            if wanted is not None:
                return self._shaper.shape(wanted, state, self._limits)
            self._mode = Mode.DAMPING
        return damping_command(self._limits.damping_kd)

    def _handed_over(self, state: LowState, elapsed: float) -> bool:
        """Whether a damped robot lies, and somebody has given it back to the vendor's controller.

        For a while, because a robot that stands still is at rest, too, until damping lets it sink.
        """
        foreign = self._mode is Mode.DAMPING and state.level_flag != LEVEL_LOW and self.at_rest
        self._foreign_s = self._foreign_s + elapsed if foreign and not self._shadow else 0.0
        return self._foreign_s >= _HANDED_OVER_S

    def _engage(self, command: LowCommand) -> str:
        """Go from IDLE to ACTIVE, or return why not."""
        state = self._state
        assert state is not None  # IDLE is reached through a state only
        if self._blockers:
            return self._blockers[0][1]
        if self._must_let_go:
            return "the commander has not let go since the fault; start from damping"
        measured = state.q[_JOINTS]
        reach = np.clip(measured, robot.SAFE_JOINT_LOWER, robot.SAFE_JOINT_UPPER)
        error = np.where(held_joints(command), np.abs(command.q[_JOINTS] - reach), 0.0)
        if error.max() > self._limits.engage_error_rad:
            index = int(np.argmax(error))
            return (
                f"first target of {robot.JOINT_NAMES[index]} is {error[index]:.2f} rad away from "
                f"the joint, allowed {self._limits.engage_error_rad:.2f}; start from damping"
            )
        self._shaper.start(measured)
        self._mode = Mode.ACTIVE
        return ""

    def _confirm(self, problems: list[Problem]) -> None:
        """Count violations over consecutive states; the confirmed ones block or become faults."""
        found = dict(problems)
        self._confirmations = {f: self._confirmations.get(f, 0) + 1 for f in found}
        limits = self._limits
        needed = {Fault.POWER: limits.power_confirm_states}
        self._blockers = [
            (fault, found[fault])
            for fault, count in self._confirmations.items()
            if count >= needed.get(fault, limits.confirm_states)
        ]
        if self._mode.driven:
            for problem in self._blockers:
                self._latch(*problem)

    def _check_ages(self) -> None:
        age, allowed = self._state_age.age_s, self._limits.state_timeout_s
        if self._mode is not Mode.WAITING and age > allowed:
            text = f"no valid state for {1e3 * age:.0f} ms, allowed {1e3 * allowed:.0f}"
            if self._mode.driven:
                self._latch(Fault.STATE_STALE, text)
            elif self._mode is not Mode.DAMPING or age > _LET_GO_S:
                # Whoever comes back may be another robot, or be in other hands.
                self._mode = Mode.WAITING
                self._ownership.restart()
        age, allowed = self._command_age.age_s, self._limits.command_timeout_s
        if self._mode is Mode.ACTIVE and age > allowed:
            text = f"no fresh command for {1e3 * age:.0f} ms, allowed {1e3 * allowed:.0f}"
            self._latch(Fault.COMMAND_STALE, text)

    def _check_ownership(self, state: LowState, elapsed: float) -> None:
        if self._shadow:  # the robot may well be in other hands: nothing reaches it from here
            if self._mode is Mode.CHECKING:
                self._mode = Mode.DAMPING if self._faults else Mode.IDLE
            return
        damped = self._mode is Mode.IDLE
        kd = self._limits.damping_kd if damped else 0.0
        free = self._ownership.advance(state, kd, elapsed, self._limits)
        if self._mode is Mode.CHECKING and free:
            self._mode = Mode.DAMPING if self._faults else Mode.IDLE
        elif self._mode is Mode.IDLE and self._ownership.objection:
            self._mode = Mode.CHECKING

    def _latch(self, fault: Fault, detail: str) -> None:
        if fault in self._faults:
            return
        self._faults[fault] = detail
        harsh = FAULTS[fault].reaction is Reaction.DAMPING
        if self._mode is Mode.ACTIVE and not harsh and self._state is not None:
            self._sit_down = SitDown(self._state.q[_JOINTS], self._limits)
            self._mode = Mode.HOLD
        elif self._mode in (Mode.IDLE, Mode.ACTIVE) or (
            harsh and self._mode in (Mode.HOLD, Mode.SIT_DOWN)
        ):
            self._mode = Mode.DAMPING

    def _reset_obstacle(self) -> str:
        for fault in (Fault.INTERNAL_ERROR, Fault.SHUTDOWN):
            if fault in self._faults:
                return FAULTS[fault].explanation
        if self._mode in (Mode.HOLD, Mode.SIT_DOWN):
            return "the robot is still sitting down"
        if self._state is None or self._state_age.age_s > self._limits.state_timeout_s:
            return "no fresh state from the robot"
        for fault, detail in self._conditions.items():
            return f"{fault.value}: {detail}"
        if decode_remote(self._state.wireless_remote).stop:
            return "L2+B is still pressed"
        for fault, detail in self._blockers:
            return f"{fault.value}: {detail}"
        if not self.at_rest:
            return (
                "the robot moves, joints and body must be slower than "
                f"{self._limits.still_velocity_rad_s} rad/s"
            )
        return ""

    def _update_status(self) -> None:
        first = next(iter(self._faults), None)
        if first is None:
            detail = self._waiting_for()
        elif self._mode is Mode.CHECKING:
            detail = f"{self._faults[first]}; {self._waiting_for()}"
        else:
            detail = self._faults[first]
        active = (*self._faults, *(fault for fault, _ in self._blockers))
        key = (self._mode, detail, active)
        if key == self._status_key:  # 500 times a second it is
            return
        self._status_key = key
        self._status = Status(
            mode=self._mode,
            fault=first.value if first is not None else "",
            detail=detail,
            active_faults=tuple(fault.value for fault in dict.fromkeys(active)),
            reset_required=bool(self._faults),
        )

    def _waiting_for(self) -> str:
        if self._mode is Mode.WAITING:
            return "no state from the robot"
        if self._mode is Mode.CHECKING:
            return self._ownership.objection or "watching whether the robot is free"
        if self._mode is Mode.IDLE:
            return self._refusal
        return ""
