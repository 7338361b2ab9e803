"""The teleoperation logic as one object: inputs with times in, commands and requests out.

It has no clock and no ROS, so that every time-out can be tested exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aliengo_teleop.arbitration import ESTOP, NONE, Arbiter
from aliengo_teleop.limits import CommandLimiter, CommandLimits
from aliengo_teleop.mapping import JoyMapper, JoyMapping, JoyReading, Velocity

__all__ = ["STALL_S", "Output", "Teleop", "TeleopConfig"]

PROMPT_PERIOD_S = 0.02
"""Changes of a stick are passed on at once, but no more often than this [s]."""

ESTOP_PERIOD_S = 0.1
"""An e-stop is published again after this time [s], until the bridge says that it has latched it."""

STALL_S = 0.06
"""Longest time between two calls of a process that runs freely [s]: three periods at 50 Hz."""


@dataclass(frozen=True)
class TeleopConfig:
    """What the teleoperation logic is told; `parameters.make_config` fills it from parameters.

    Attributes:
        mappings: For each joystick source (`remote`, `joystick`) its mapping.
        limits: Velocity and acceleration limits of what is published.
        timeouts_s: Age at which each source is stale [s].
        stand_after_lost_s: The mode `stand` is requested when a source went silent with its
            dead man held and nobody has taken over for this time [s]; 0 = never.
        idle_publish_s: Zero commands are published for this time after the last source let go
            [s]; then `cmd_vel` is left to others.
        estop_hold_s: A reset is believed no earlier than this after the e-stop [s], and after the
            bridge has latched it, so that a bridge state that was already under way, or a bridge
            that has not heard of it, does not undo it.
        stall_credit_s: When this process itself is held up for longer than `STALL_S`, sources
            are not blamed for up to this time between two of their messages [s]; what follows
            `cmd_vel` has its own time-out.
    """

    mappings: Mapping[str, JoyMapping]
    limits: CommandLimits
    timeouts_s: Mapping[str, float]
    stand_after_lost_s: float = 1.0
    idle_publish_s: float = 0.5
    estop_hold_s: float = 0.5
    stall_credit_s: float = 0.25


@dataclass(frozen=True)
class Output:
    """What one tick wants published.

    Attributes:
        velocity: The command, or None to stay silent.
        source: Who drives.
        modes: Mode requests, oldest first.
        estop: True to publish an e-stop.
        reset: True to ask the bridge to reset its fault.
        next_policy: True to ask for the next policy of the list.
    """

    velocity: Velocity | None
    source: str
    modes: tuple[str, ...] = ()
    estop: bool = False
    reset: bool = False
    next_policy: bool = False


@dataclass
class _Pending:
    modes: list[str] = field(default_factory=list)
    estop: bool = False
    reset: bool = False
    next_policy: bool = False


class Teleop:
    """Turns the messages of all operators into one command stream."""

    def __init__(self, config: TeleopConfig) -> None:
        """Starts with no operator present."""
        self._config = config
        self._mappers = {source: JoyMapper(m) for source, m in config.mappings.items()}
        self._readings: dict[str, JoyReading] = {}
        self._last_prompt = float("-inf")
        self._needs_release: set[str] = set()
        self._arbiter = Arbiter(config.timeouts_s, config.stall_credit_s)
        self._limiter = CommandLimiter(config.limits)
        self._pending = _Pending()
        self._last_tick: float | None = None
        self._last_call = float("-inf")
        self._last_driven = float("-inf")
        self._lost_since: float | None = None
        self._estop_stamp = float("-inf")
        self._estop_sent: float | None = None
        self._bridge_stopped = False
        self._bridge_received = 0

    def on_joy(
        self, source: str, axes: Sequence[float], buttons: Sequence[int], now: float
    ) -> bool:
        """Takes a joystick message.

        A device that appears, comes back after a time-out or was held through an e-stop
        drives only after its dead man has been released once.

        Args:
            source: A key of `TeleopConfig.mappings`.
            axes: Deflections in [-1, 1].
            buttons: 0 or 1 each.
            now: Monotonic time of arrival [s].

        Returns:
            True if the message asks for something or moves the command, so that the caller can
            tick at once; for movements at most once in `PROMPT_PERIOD_S`.
        """
        self._absorb_stall(now)
        mapper = self._mappers[source]
        if self._arbiter.is_stale(source, now):
            mapper.reset()
            self._needs_release.add(source)
        reading = mapper.read(axes, buttons)
        if not reading.enabled or not self._config.mappings[source].require_enable_button:
            self._needs_release.discard(source)
        enabled = reading.enabled and source not in self._needs_release
        self._arbiter.update(source, reading.velocity, enabled, now)
        for request in reading.requests:
            self._request(request, now)
        moved = reading[:2] != self._readings.get(source, reading)[:2]
        self._readings[source] = reading
        if moved and now - self._last_prompt >= PROMPT_PERIOD_S:
            self._last_prompt = now
            return True
        return bool(reading.requests)

    def on_velocity(self, source: str, velocity: Velocity, now: float) -> None:
        """Takes a velocity command; publishing at all is such a source's dead man."""
        self._absorb_stall(now)
        self._arbiter.update(source, velocity, True, now)

    def on_estop(self, pressed: bool, now: float) -> None:
        """Follows the `estop` topic; a release changes nothing, only the bridge's reset does."""
        if pressed:
            self._latch_estop(now)
            # Whoever said it, e.g. the browser, said it once: see to it that the bridge hears.
            if self._estop_sent is None:
                self._estop_sent = now

    def on_bridge(self, reset_required: bool, stopped: bool, now: float, received: int = 0) -> None:
        """Follows the bridge: an e-stop ends when a bridge that had latched it is reset.

        Args:
            reset_required: Whether the bridge has latched any fault.
            stopped: Whether the e-stop is among its faults.
            now: Monotonic time of arrival [s].
            received: How many states it has had from the robot; fewer than before tell of another bridge.
        """
        another, self._bridge_received = received < self._bridge_received, received
        if stopped:
            self._bridge_stopped = True
        elif another and self._arbiter.estopped:
            # It was not reset, it knows nothing of the e-stop: it must be told again.
            self._bridge_stopped = False
            self._estop_sent = now
        late_enough = now - self._estop_stamp >= self._config.estop_hold_s
        if self._bridge_stopped and not reset_required and late_enough:
            self._arbiter.estopped = False
            self._estop_sent = None

    def tick(self, now: float) -> Output:
        """Advances to monotonic time `now` [s] and says what to publish."""
        self._absorb_stall(now)
        dt = 0.0 if self._last_tick is None else min(max(now - self._last_tick, 0.0), 0.1)
        self._last_tick = now
        decision = self._arbiter.decide(now)
        self._follow_losses(decision.source, decision.lost, now)
        if decision.source == ESTOP:
            velocity = self._limiter.halt()
        elif decision.source != NONE:
            self._last_driven = now
            velocity = self._limiter.drive(decision.velocity, dt)
        elif self._lost_since is not None:
            # A silent source is a fault: its last wish is not worth a gentle ramp.
            velocity = self._limiter.halt()
        else:
            velocity = self._limiter.stop(dt)
        silent = decision.source == NONE and now - self._last_driven > self._config.idle_publish_s
        pending, self._pending = self._pending, _Pending()
        if self._must_repeat_estop(now):
            pending.estop = True
        if pending.estop:
            self._estop_sent = now
        return Output(
            velocity=None if silent else velocity,
            source=decision.source,
            modes=tuple(pending.modes),
            estop=pending.estop,
            reset=pending.reset,
            next_policy=pending.next_policy,
        )

    def _absorb_stall(self, now: float) -> None:
        # Called at every input and at every tick, that is, at least once per period.
        stall = now - self._last_call - STALL_S
        self._last_call = now
        if stall > 0.0:
            self._arbiter.forgive(stall)

    def _request(self, request: str, now: float) -> None:
        if request == "estop":
            self._latch_estop(now)
            self._pending.estop = True
            self._pending.modes.append("damping")
        elif request == "reset":
            self._pending.reset = True
        elif request == "next_policy":
            self._pending.next_policy = True
        else:
            self._pending.modes.append(request)

    def _must_repeat_estop(self, now: float) -> bool:
        """Whether the e-stop may not have reached the bridge, which need not run yet."""
        if self._estop_sent is None or self._bridge_stopped:
            return False
        return now - self._estop_sent >= ESTOP_PERIOD_S

    def _latch_estop(self, now: float) -> None:
        if not self._arbiter.estopped:
            self._bridge_stopped = False
        self._arbiter.estopped = True
        self._estop_stamp = now
        self._needs_release.update(self._mappers)

    def _follow_losses(self, source: str, lost: tuple[str, ...], now: float) -> None:
        if source != NONE or not lost:
            self._lost_since = None
        else:
            if self._lost_since is None:
                self._lost_since = now
            wait = self._config.stand_after_lost_s
            if wait <= 0.0 or now - self._lost_since < wait:
                return
            # A planner that falls silent has arrived; only a lost joystick means a lost operator.
            if any(name in self._mappers for name in lost):
                self._pending.modes.append("stand")
            self._lost_since = None
        for name in lost:
            self._arbiter.forget(name)
