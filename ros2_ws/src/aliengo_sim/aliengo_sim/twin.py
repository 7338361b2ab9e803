"""The twin: body, sensors and link put together and run in real time, without ROS."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import numpy as np

from aliengo_bridge.crc import datagram_crc
from aliengo_bridge.protocol import (
    HIGH_STATE_SIZE,
    MODE_OVERHEATED,
    LowCommand,
    LowState,
    encode_low_state,
)
from aliengo_description import robot
from aliengo_description.scheduling import TWIN, raise_priority
from aliengo_sim.dynamics import Dynamics, GroundTruth
from aliengo_sim.faults import FaultPlan, FaultyChannel
from aliengo_sim.motors import LIMP, MotorTargets
from aliengo_sim.pacing import Pacer
from aliengo_sim.sensors import SensorConfig, Sensors
from aliengo_sim.server import UdpServer

__all__ = ["Twin", "TwinConfig", "TwinStatus"]


@dataclass(frozen=True)
class TwinConfig:
    """How the twin runs. All times are simulated time.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; the real robot's is 8007, 0 takes a free one.
        physics_period_s: Step of physics and motor control [s].
        state_period_s: Time between two states sent, a multiple of the physics step [s].
        command_timeout_s: A robot that hears nothing for this long goes limp [s].
        peer_timeout_s: A peer silent for this long loses its place [s].
        max_catch_up_s: Longest stall of the host that is made good [s]; see `Pacer`.
        start_pose: "lying" or "standing".
        foot_friction: Friction coefficient of the feet.
        payload_kg: Mass added to the trunk [kg].
        sensors: Noise and conversion.
        seed: Of the faults.
        realtime_priority: SCHED_FIFO priority of `run` where the system permits it, 0 for none. A
            robot is punctual on its own computer, so its stand-in should not wait for others here.
            Below the bridge's, which it must not hold up.
    """

    host: str = "127.0.0.1"
    port: int = 8007
    physics_period_s: float = 0.001
    state_period_s: float = 0.002
    command_timeout_s: float = 0.2
    peer_timeout_s: float = 2.0
    max_catch_up_s: float = 0.01
    start_pose: str = "lying"
    foot_friction: float = robot.FOOT_FRICTION
    payload_kg: float = 0.0
    sensors: SensorConfig = field(default_factory=SensorConfig)
    seed: int = 0
    realtime_priority: int = TWIN

    @property
    def substeps(self) -> int:
        """Physics steps per state.

        Raises:
            ValueError: If the state's period is not a multiple of the physics step.
        """
        ratio = self.state_period_s / self.physics_period_s
        if ratio < 0.999 or abs(ratio - round(ratio)) > 1e-6:
            raise ValueError(
                f"state_period_s is {self.state_period_s}; "
                f"allowed: multiples of physics_period_s ({self.physics_period_s})"
            )
        return round(ratio)


@dataclass(frozen=True)
class TwinStatus:
    """How the twin is doing.

    Attributes:
        limp: Whether the motors are off because nobody commands them.
        peer: Who is served, "host:port", or empty.
        link: Counters of the link by name.
        stalls: How often the host was too slow.
        lost_s: Simulated time lost by that [s].
        diverged: How often the simulation had to be reset because its state was absurd.
    """

    limp: bool
    peer: str
    link: dict[str, int]
    stalls: int
    lost_s: float
    diverged: int


class Twin:
    """A simulated Aliengo on a UDP port.

    `cycle` advances it by one state period; `run` does so in real time until told to stop. The
    other methods may be called from any thread.

    Raises:
        AddressInUseError: If the port is taken.
        ValueError: If the configuration is impossible.
    """

    def __init__(self, config: TwinConfig) -> None:
        self._config = config
        self._substeps = config.substeps
        self.dynamics = Dynamics(
            config.physics_period_s, config.start_pose, config.foot_friction, config.payload_kg
        )
        self._sensors = Sensors(config.sensors)
        self._inbound = FaultyChannel("commands", config.seed)
        self._outbound = FaultyChannel("states", config.seed + 1)
        self.lock = threading.Lock()
        """Held while physics and buffers change; hold it to look at `dynamics` from outside."""
        self.faults = FaultPlan()
        """What goes wrong; replace it at any time."""
        self.wireless_remote = bytes(40)
        """The remote's bytes in every state; replace them at any time."""
        self._command: LowCommand | None = None
        self._commanded = self._targets = LIMP
        self._last_heard_s = -np.inf
        self._last_command_s = -np.inf
        self._diverged = 0
        self._pacer = Pacer(config.state_period_s, config.max_catch_up_s)
        self._server = UdpServer(config.host, config.port)

    @property
    def address(self) -> tuple[str, int]:
        """Where the robot listens."""
        return self._server.address

    def close(self) -> None:
        """Free the port."""
        self._server.close()

    def reset(self) -> None:
        """Put the robot back to its start pose, limp until the next command."""
        with self.lock:
            self._reset()

    def push(self, impulse_w: tuple[float, float, float]) -> None:
        """Hit the trunk with an impulse in the world frame [N s].

        Raises:
            ValueError: If a component is not finite.
        """
        with self.lock:
            self.dynamics.push(impulse_w)

    def ground_truth(self) -> GroundTruth:
        """Return the true state."""
        with self.lock:
            return self.dynamics.ground_truth()

    def status(self) -> TwinStatus:
        """Return counters and condition."""
        with self.lock:
            peer = self._server.peer
            return TwinStatus(
                limp=self._targets is LIMP,
                peer=f"{peer[0]}:{peer[1]}" if peer else "",
                link=self._server.counters.as_dict(),
                stalls=self._pacer.stalls,
                lost_s=self._pacer.lost_s,
                diverged=self._diverged,
            )

    @property
    def realtime_priority(self) -> int:
        """`SCHED_FIFO` priority of `run`, 0 for none."""
        return self._config.realtime_priority

    def run(self, stop: threading.Event) -> None:
        """Run in real time until ``stop`` is set, in the calling thread."""
        raise_priority(self.realtime_priority, whole_process=False)
        self._pacer = Pacer(self._config.state_period_s, self._config.max_catch_up_s)
        while not stop.is_set():
            self.cycle()
            self._pacer.wait()

    def cycle(self) -> None:
        """Listen, move for one state period, report."""
        with self.lock:
            plan = self.faults
            self._listen(plan)
            targets = self._without_lost_motor(plan)
            for _ in range(self._substeps):
                self.dynamics.step(targets)
            if self.dynamics.diverged:
                self._diverged += 1
                self._reset()
            self._sensors.warm(self.dynamics.joint_torques, self._config.state_period_s)
            state = self._sensors.measure(self.dynamics, targets.mode)
            self._report(plan, state)

    def _reset(self) -> None:
        self.dynamics.reset()
        self._targets = LIMP

    def _listen(self, plan: FaultPlan) -> None:
        now = self.dynamics.time_s
        heard, command = self._server.receive(
            lambda packets: self._inbound.pass_through(plan, now, packets)
        )
        if heard:
            self._last_heard_s = now
        elif now - self._last_heard_s > self._config.peer_timeout_s:
            self._server.release_peer()
        if command is not None:
            if command is not self._command:
                self._command, self._commanded = command, MotorTargets.from_command(command)
            self._targets = self._commanded
            self._last_command_s = now
        elif now - self._last_command_s > self._config.command_timeout_s:
            self._targets = LIMP

    def _without_lost_motor(self, plan: FaultPlan) -> MotorTargets:
        if not plan.lost_motor:
            return self._targets
        return self._targets.without(robot.JOINT_NAMES.index(plan.lost_motor), MODE_OVERHEATED)

    def _report(self, plan: FaultPlan, state: LowState) -> None:
        """Send the state through the faults. Delayed packets leave even while the robot is mute."""
        if plan.hot_motor:
            motor = robot.JOINT_NAMES.index(plan.hot_motor)
            state.temperature[motor] = round(plan.hot_temperature)
        state.wireless_remote[:] = np.frombuffer(self.wireless_remote, dtype=np.uint8)
        packets = []
        if self._server.peer is not None and not plan.silence:
            packets = [_high_state() if plan.sport_mode else encode_low_state(state)]
        now = self.dynamics.time_s
        self._server.send(self._outbound.pass_through(plan, now, packets))


def _high_state() -> bytes:
    """A high-level state of zeros with its CRC: what a robot in sport mode sends."""
    blank = bytes(HIGH_STATE_SIZE)
    return blank[:-4] + int(datagram_crc(blank)).to_bytes(4, "little")
