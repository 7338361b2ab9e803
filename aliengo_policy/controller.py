"""The state machine that turns requests, measurements and a policy into joint commands.

Modes and transitions are data. Time is passed in and nothing here knows of ROS, so the whole
behaviour can be tested without waiting. The bridge guards the robot a second time; what is refused
here is refused early and with a reason that a person can act on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from aliengo_description import robot
from aliengo_policy import trajectories
from aliengo_policy.commands import CommandLimits, VelocityCommand
from aliengo_policy.guards import GUARDS, ControllerSettings, Situation
from aliengo_policy.modes import ACTIVE, Mode, find_transition
from aliengo_policy.observation import RobotState
from aliengo_policy.runtime import PolicyFaultError, PolicyOutput, PolicyRuntime

HELD_UP_S = 0.075
"""Without states the controller is asked to watch every 50 ms, or a little later where the node is
busy; after a longer gap it has probably slept itself [s]. Where it has not, that costs one watch."""
LOST_S = 0.5
"""Time between two states after which no mode that drives goes on [s]. The bridge has let the robot
down long before."""


@dataclass(frozen=True, slots=True)
class JointCommand:
    """What the motors shall do; ``enabled`` False asks for damping and the rest is meaningless.

    Attributes:
        positions: (12,) [rad].
        kp: (12,) [N m/rad].
        kd: (12,) [N m s/rad].
    """

    enabled: bool
    positions: np.ndarray
    kp: np.ndarray
    kd: np.ndarray


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether a request was accepted, and why."""

    accepted: bool
    message: str


@dataclass
class _Phase:
    """What the current mode remembers; made anew at each change of mode."""

    start_s: float
    start: JointCommand
    trajectory: trajectories.Trajectory | None = None
    steps: int = 0
    stopping: bool = False
    still_since_s: float = math.inf
    residual_fault: str = ""


@dataclass
class Controller:
    """Owns the mode, the selected policy and the command.

    Args:
        policies: loaded policies by name.
        policy: the one selected at first.
        limits: bounds on the velocity command.
        settings: gains, speeds, guards.

    What the bridge reports: ``bridge_fault``, the fault that it has latched, or an empty string;
    ``bridge_obstacle``, why it would not drive the robot now, or an empty string; and
    ``bridge_withholds``, whether it withholds the commands from the robot.

    Raises:
        ValueError: when ``policy`` is not among ``policies``.
    """

    policies: Mapping[str, PolicyRuntime]
    policy: str
    limits: CommandLimits = field(default_factory=CommandLimits)
    settings: ControllerSettings = field(default_factory=ControllerSettings)

    def __post_init__(self) -> None:
        self._require_known(self.policy)
        self.mode = Mode.DAMPING
        self.previous_mode = Mode.DAMPING
        self.reason = "start"
        self.command = VelocityCommand(self.limits)
        self.bridge_fault = ""
        self.bridge_obstacle = ""
        self.bridge_withholds = False
        self.last_output: PolicyOutput | None = None
        self._goal: Mode | None = None
        self._state: RobotState | None = None
        self._state_s = -math.inf
        self._step_s = -math.inf
        self._watched_s = -math.inf
        self._excused = False
        zeros = np.zeros(len(robot.JOINT_NAMES))
        self._last = JointCommand(False, zeros, zeros, zeros)
        self._phase = _Phase(0.0, self._last)

    @property
    def runtime(self) -> PolicyRuntime:
        """The selected policy."""
        return self.policies[self.policy]

    def select(self, name: str) -> Answer:
        """Change the policy, and clear a fault of its residual; refused while walking.

        A policy with another control period is refused, too: its steps would come at a wrong rate.
        """
        if name not in self.policies:
            return Answer(False, f"unknown policy {name!r}; loaded are {sorted(self.policies)}")
        if self.mode is Mode.WALK:
            return Answer(False, f"policy {name!r} refused: the robot walks; stand first")
        period, running = (
            self.policies[each].contract.control_period_s for each in (name, self.policy)
        )
        if period != running:
            return Answer(
                False,
                f"policy {name!r} refused: its control period is {period:g} s, that of the "
                f"running one {running:g} s; start with it instead",
            )
        self.policy = name
        self.runtime.clear_residual_fault()
        return Answer(True, f"policy {name} selected")

    def request(self, target: Mode, now_s: float) -> Answer:
        """Ask for a mode. DAMPING is always granted; walking ends by stopping first."""
        if target is self.mode and self._phase.stopping:
            return Answer(False, f"{target.value} refused: the walk ends ({self.reason})")
        if target is self.mode and self._goal is None:
            return Answer(True, f"already in {target.value}")
        transition = find_transition(self.mode, target)
        if isinstance(transition, str):
            return Answer(False, transition)
        for guard in transition.guards:
            refusal = self.check(guard, now_s)
            if refusal:
                return Answer(False, f"{target.value} refused: {refusal}")
        if self.mode is Mode.WALK and target is not Mode.DAMPING:
            self._goal = target
            self._stop("requested " + target.value)
            return Answer(True, f"stopping, then {target.value}")
        self._goal = None
        self._enter(target, now_s, "requested")
        return Answer(True, f"{target.value} entered")

    def check(self, guard: str, now_s: float) -> str:
        """Reason why a guard refuses, or an empty string."""
        trajectory = self._phase.trajectory
        left = self._phase.start_s + trajectory.duration_s - now_s if trajectory else 0.0
        situation = Situation(
            now_s=now_s,
            state=self._state,
            state_age_s=now_s - self._state_s,
            command=self.command,
            bridge_fault=self.bridge_fault,
            bridge_obstacle=self.bridge_obstacle,
            withheld=self.settings.shadow and self.bridge_withholds,
            time_to_stand_s=left,
            settings=self.settings,
        )
        return GUARDS[guard](situation)

    def watch(self, now_s: float) -> None:
        """Apply the guards that every active mode inherits; call it also when no state arrives.

        One who has just slept himself cannot say that nothing came meanwhile. He judges the age of
        the state at the next call, once between two states; all else he judges now.
        """
        slept = now_s - self._watched_s > HELD_UP_S
        self._watched_s = now_s
        if self.mode is Mode.DAMPING:
            return
        for guard in ACTIVE:
            refusal = self.check(guard, now_s)
            if refusal and guard == "state_fresh" and slept and not self._excused:
                self._excused = True
                continue
            if refusal:
                self._enter(Mode.DAMPING, now_s, refusal)
                return

    def step(self, state: RobotState, now_s: float) -> JointCommand:
        """Advance by one control period with a new measurement; returns what the motors do."""
        gap = now_s - self._step_s if math.isfinite(self._step_s) else 0.0
        elapsed = min(max(gap, 0.0), 0.1)
        self._state, self._state_s, self._step_s = state, now_s, now_s
        self._excused = False
        self.last_output = None
        self.watch(now_s)
        if gap > LOST_S and self.mode is not Mode.DAMPING:
            # The watch saw the new state only. Who goes on now would pull the robot up again.
            self._enter(Mode.DAMPING, now_s, f"held up for {gap:.1f} s")
        try:
            command = self._behave(now_s, elapsed)
        except PolicyFaultError as fault:
            # Without an action there is no gait to finish: fold from wherever the legs are.
            self._goal = None
            self._enter(Mode.SIT_DOWN, now_s, str(fault))
            command = self._behave(now_s, elapsed)
        self._last = command
        return command

    # --- behaviour of each mode -------------------------------------------------------------------

    def _behave(self, now_s: float, elapsed_s: float) -> JointCommand:
        if self.mode is Mode.WALK:
            return self._walk(now_s, elapsed_s)
        self.command.reset()
        if self.mode is Mode.DAMPING:
            return self._damping()
        behaviour = {
            Mode.STAND_UP: self._stand_up,
            Mode.STAND: self._stand,
            Mode.SIT_DOWN: self._sit_down,
        }
        return behaviour[self.mode](now_s)

    def _damping(self) -> JointCommand:
        assert self._state is not None
        zeros = np.zeros_like(self._state.joint_positions)
        return JointCommand(False, self._state.joint_positions.copy(), zeros, zeros)

    def _stand_up(self, now_s: float) -> JointCommand:
        trajectory = self._trajectory()
        time_s = now_s - self._phase.start_s
        if time_s >= trajectory.duration_s:
            refusal = self.check("on_stand_pose", now_s)
            if refusal:
                self._enter(Mode.SIT_DOWN, now_s, f"stand up failed: {refusal}")
            else:
                self._enter(Mode.STAND, now_s, "stand up finished")
            return self._behave(now_s, 0.0)
        return self._hold(now_s, trajectory.sample(time_s))

    def _stand(self, now_s: float) -> JointCommand:
        time_s = now_s - self._phase.start_s
        positions = self._trajectory().sample(time_s)
        if self._goal is not None and time_s >= self._trajectory().duration_s:
            goal, self._goal = self._goal, None
            if goal is not Mode.STAND:
                self._enter(goal, now_s, "requested")
        return self._hold(now_s, positions)

    def _sit_down(self, now_s: float) -> JointCommand:
        trajectory = self._trajectory()
        time_s = now_s - self._phase.start_s
        fade = 1.0 - (time_s - trajectory.duration_s) / self.settings.release_s
        if fade <= 0.0:
            self._enter(Mode.DAMPING, now_s, "sit down finished")
            return self._damping()
        return self._hold(now_s, trajectory.sample(time_s), min(fade, 1.0))

    def _walk(self, now_s: float, elapsed_s: float) -> JointCommand:
        assert self._state is not None
        self._watch_walk(now_s)
        if self.mode is not Mode.WALK:
            return self._behave(now_s, 0.0)
        contract = self.runtime.contract
        ranges = contract.command_ranges
        if self.runtime.residual_fault and contract.residual_gate:
            ranges = contract.residual_gate.base_ranges
        command = self.command.step(now_s, elapsed_s, ranges, self._phase.stopping)
        output = self.last_output = self.runtime.step(self._state, command)
        self._phase.steps += 1
        if self.runtime.residual_fault != self._phase.residual_fault:
            self._phase.residual_fault = self.runtime.residual_fault
            self.reason = f"walking on with the base: {self.runtime.residual_fault}"
        start, blend = self._phase.start, self._blend(now_s)
        targets = np.clip(output.joint_targets, robot.SAFE_JOINT_LOWER, robot.SAFE_JOINT_UPPER)
        return JointCommand(
            enabled=True,
            positions=start.positions + blend * (targets - start.positions),
            kp=start.kp + blend * (np.array(contract.kp) - start.kp),
            kd=start.kd + blend * (np.array(contract.kd) - start.kd),
        )

    def _watch_walk(self, now_s: float) -> None:
        """Stop when nobody commands or the run is over; stand when the robot has stopped."""
        phase = self._phase
        if not phase.stopping and self.command.is_released(now_s):
            self._stop(f"no command for {self.limits.release_after_s:g} s")
        if not phase.stopping and 0 < self.settings.max_steps <= phase.steps:
            self._stop(f"max_steps {self.settings.max_steps} reached")
        if not (phase.stopping and self.command.is_zero()):
            phase.still_since_s = math.inf
        elif math.isinf(phase.still_since_s):
            phase.still_since_s = now_s
        elif now_s - phase.still_since_s >= self.settings.settle_s:
            self._enter(Mode.STAND, now_s, self.reason)

    # --- helpers ----------------------------------------------------------------------------------

    def _require_known(self, name: str) -> None:
        if name not in self.policies:
            raise ValueError(f"policy {name!r} is not loaded; loaded are {sorted(self.policies)}")

    def _stop(self, reason: str) -> None:
        self._phase.stopping = True
        self.reason = reason

    def _trajectory(self) -> trajectories.Trajectory:
        assert self._phase.trajectory is not None, self.mode
        return self._phase.trajectory

    def _blend(self, now_s: float) -> float:
        """Share of the current mode's gains: the torque must not jump when the mode changes."""
        return trajectories.minimum_jerk((now_s - self._phase.start_s) / self.settings.blend_s)

    def _hold(self, now_s: float, positions: np.ndarray, strength: float = 1.0) -> JointCommand:
        start, blend = self._phase.start, self._blend(now_s)
        kp = start.kp + blend * (self.settings.stand_kp - start.kp)
        kd = start.kd + blend * (self.settings.stand_kd - start.kd)
        return JointCommand(True, positions, strength * kp, kd)

    def _released(self, positions: np.ndarray) -> JointCommand:
        """The command that fits joints without torque: from there nothing needs to fade."""
        kp = np.full(positions.shape, self.settings.stand_kp)
        return JointCommand(False, positions, kp, np.full(positions.shape, self.settings.stand_kd))

    def _enter(self, mode: Mode, now_s: float, reason: str) -> None:
        assert self._state is not None or mode is Mode.DAMPING
        self.previous_mode, self.mode, self.reason = self.mode, mode, reason
        if mode is Mode.DAMPING or self._state is None:
            self._goal = None
            self._last = JointCommand(False, self._last.positions, self._last.kp, self._last.kd)
            self._phase = _Phase(now_s, self._last)
            return
        # A robot under load hangs below its targets: go on from the targets, not from the sag.
        begin = self._last if self._last.enabled else self._released(self._state.joint_positions)
        start, speed = begin.positions, self.settings.joint_speed
        self._phase = _Phase(now_s, begin)
        if mode is Mode.STAND_UP:
            self._phase.trajectory = trajectories.stand_up(start, speed)
        elif mode is Mode.STAND:
            stand = trajectories.move(
                start, robot.STAND_JOINT_POSITIONS, speed, self.settings.blend_s
            )
            self._phase.trajectory = trajectories.Trajectory([stand])
        elif mode is Mode.SIT_DOWN:
            self._phase.trajectory = trajectories.sit_down(start, speed)
        else:
            self.runtime.reset()
            self._phase.residual_fault = self.runtime.residual_fault


__all__ = ["Answer", "Controller", "ControllerSettings", "JointCommand", "Mode"]
