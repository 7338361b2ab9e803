"""A supervisor on a bench: a clock, a robot that obeys nothing, and a commander."""

from __future__ import annotations

import numpy as np
from fake_robots import copied, lying_state

from aliengo_bridge.limits import SafetyLimits
from aliengo_bridge.messages import (
    LEVEL_HIGH,
    LEVEL_LOW,
    LowCommand,
    damping_command,
)
from aliengo_bridge.safety import Decision, Mode, Supervisor
from aliengo_description import robot

TICK_S = 0.002


class Bench:
    """A supervisor, its clock, a robot that obeys nothing, and a commander."""

    def __init__(self, *, shadow: bool = False, **limits: float) -> None:
        self.supervisor = Supervisor(SafetyLimits(**limits), shadow=shadow)  # type: ignore[arg-type]
        self.now = 100.0
        self.state = lying_state()
        self.robot_talks = True

    def tick(self, seconds: float = TICK_S) -> Decision:
        """Let one tick of that length pass."""
        self.now += seconds
        if self.robot_talks:
            self.state.tick += 2
            self.supervisor.on_state(copied(self.state))
        return self.supervisor.step(self.now)

    def run(self, seconds: float, command: LowCommand | None = None) -> Decision:
        """Let time pass, with a fresh command every 20 ms if one is given."""
        ticks = max(1, round(seconds / TICK_S))
        for i in range(ticks):
            if command is not None and i % 10 == 0:
                self.supervisor.on_command(command)
            decision = self.tick()
        return decision

    def hold_command(self) -> LowCommand:
        """Return a command that holds the measured pose."""
        command = LowCommand()
        command.q[:12] = self.state.q[:12]
        command.dq[:12] = 0.0
        command.kp[:12], command.kd[:12] = 60.0, 2.0
        return command

    def stand(self) -> None:
        """Put the robot on its feet, as far as the supervisor can tell."""
        self.state.q[:12] = robot.STAND_JOINT_POSITIONS

    def engage(self) -> Decision:
        """Bring the supervisor to ACTIVE, with the robot standing."""
        self.run(self.supervisor.limits.ownership_check_s + 0.01)
        self.supervisor.on_command(damping_command(self.supervisor.limits.damping_kd))
        self.stand()
        decision = self.run(0.1, self.hold_command())
        assert decision.status.mode is Mode.ACTIVE
        return decision


def is_damping(decision: Decision, limits: SafetyLimits | None = None) -> bool:
    command, kd = decision.command, (limits or SafetyLimits()).damping_kd
    still = (command.kp[:12] == 0).all() and (command.tau[:12] == 0).all()
    return bool(still and (command.kd[:12] == kd).all() and command.level_flag == LEVEL_LOW)


def is_released(decision: Decision) -> bool:
    command = decision.command
    gains = np.abs(command.kp[:12]) + np.abs(command.kd[:12]) + np.abs(command.tau[:12])
    return bool(command.level_flag == LEVEL_HIGH and (gains == 0).all())
