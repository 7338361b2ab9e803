"""Configuration of a locomotion task: flat frozen dataclasses, overridable from the command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Tuple

from aliengo_training.checks import require_range
from aliengo_training.sim.randomization import RandomizationConfig
from aliengo_training.sim.simulator import SimulationConfig

Range = Tuple[float, float]


@dataclass(frozen=True)
class CommandConfig:
    """Velocity commands in the body frame.

    Attributes:
        vx: Forward [m/s].
        vy: Lateral, left positive [m/s].
        wz: Yaw rate, left positive [rad/s].
        resample_s: Bounds of the time between two commands [s].
        standing_fraction: Share of the draws that ask for standing still.
        straight_fraction: Share of the draws without lateral and yaw command.
        lateral_fraction: Share of the draws without yaw command.
        turning_fraction: Share of the draws without lateral command.
        max_lateral_acceleration: Largest planar speed times yaw rate [m/s^2]; the yaw rate is cut to it. 0 for none.
        dead_zone: Planar and yaw commands that are all smaller than this become a standing command [m/s, rad/s].
    """

    vx: Range = (0.0, 1.2)
    vy: Range = (-0.3, 0.3)
    wz: Range = (-1.2, 1.2)
    resample_s: Range = (4.0, 8.0)
    standing_fraction: float = 0.15
    straight_fraction: float = 0.3
    lateral_fraction: float = 0.0
    turning_fraction: float = 0.0
    max_lateral_acceleration: float = 0.0
    dead_zone: float = 0.1

    def __post_init__(self) -> None:
        """Refuses ranges that nothing can be drawn from."""
        for name in ("vx", "vy", "wz", "resample_s"):
            require_range(f"task.commands.{name}", getattr(self, name))


@dataclass(frozen=True)
class NoiseConfig:
    """Half widths of the uniform noise on the actor's observation, before scaling.

    Attributes:
        enabled: Whether noise is added.
        angular_velocity: Gyro [rad/s].
        gravity: Components of the unit gravity vector.
        joint_positions: Encoders [rad].
        joint_velocities: Differentiated encoders [rad/s].
    """

    enabled: bool = True
    angular_velocity: float = 0.3
    gravity: float = 0.05
    joint_positions: float = 0.03
    joint_velocities: float = 1.5


@dataclass(frozen=True)
class ResetConfig:
    """How episodes start and end.

    Attributes:
        episode_length_s: Time-out [s].
        reference_probability: Probability that an episode whose command is not to stand starts in a state of the
            reference motion.
        joint_noise: Half width of the uniform joint offset at a start in the default pose [rad].
        velocity_noise: Half width of the uniform base velocity at such a start [m/s, rad/s].
        min_height: Trunk height below which the robot has fallen [m].
        max_tilt: Angle between the trunk's z axis and the vertical beyond which it has fallen [rad].
        min_knee_height: Knee height below which it has fallen [m].
        trunk_force: Contact force on the trunk above which it has fallen [N].
    """

    episode_length_s: float = 20.0
    reference_probability: float = 0.7
    joint_noise: float = 0.2
    velocity_noise: float = 0.5
    min_height: float = 0.18
    max_tilt: float = 1.0
    min_knee_height: float = 0.03
    trunk_force: float = 1.0


@dataclass(frozen=True)
class PushConfig:
    """Random pushes.

    Attributes:
        enabled: Whether robots are pushed.
        interval_s: Bounds of the time between pushes [s].
        max_velocity: Largest planar velocity change [m/s].
    """

    enabled: bool = True
    interval_s: Range = (3.0, 7.0)
    max_velocity: float = 1.0


@dataclass(frozen=True)
class RewardConfig:
    """Weights of the task reward terms (see `rewards.py`); a weight of 0 switches a term off.

    Attributes:
        linear_velocity: Weight of planar velocity tracking.
        linear_velocity_fine: Weight of a narrow kernel on each axis, which pays for the last centimetres per second.
        linear_velocity_slope: Weight of a linear term that has slope however far the command is.
        yaw_rate: Weight of yaw rate tracking.
        yaw_rate_fine: Weight of its narrow kernel.
        yaw_rate_slope: Weight of a linear term that has slope however far the command is.
        linear_velocity_width: Variance scale of the wide kernel [(m/s)^2].
        linear_velocity_fine_width: Variance scale of the narrow kernel [(m/s)^2].
        yaw_rate_width: Variance scale [(rad/s)^2].
        yaw_rate_fine_width: Variance scale [(rad/s)^2].
        stand_still: Penalty on joint offsets and motion while the command is zero.
        stand_contact: Reward for feet on the ground while the command is zero.
        torque: Penalty on squared torques [per (N m)^2].
        joint_acceleration: Penalty on squared joint accelerations [per (rad/s^2)^2].
        action_rate: Penalty on squared changes of the joint targets [per rad^2].
        target_step: Penalty on demanded joint target steps beyond `target_step_limit` [per rad].
        target_step_limit: Step that is free of it [rad].
        torque_saturation: Penalty on demanded torque beyond 0.9 of the motors' limits [per limit].
        power: Penalty on mechanical power, braking included, beyond `power_limit` [per kW].
        power_limit: Power that is free of it [W].
        joint_limit: Penalty on positions beyond the safe limits [per rad].
        foot_slip: Penalty on the planar speed of feet on the ground [per (m/s)^2].
        vertical_velocity: Penalty on the base's squared vertical velocity [per (m/s)^2].
        roll_pitch_rate: Penalty on the base's squared roll and pitch rates [per (rad/s)^2].
        tilt: Penalty on squared planar gravity components.
        carried_foot: Penalty on contact of the carried foot while walking.
        bearing_feet: Reward for the share of the other feet that are on the ground while walking.
        cadence: Penalty on strides of those feet that are shorter in time than the reference's at the commanded speed.
        termination: Penalty for a fall.
        carried_leg: Index of the leg that the gait carries (0 FL, 1 FR, 2 RL, 3 RR).
    """

    linear_velocity: float = 1.5
    linear_velocity_fine: float = 4.0
    linear_velocity_slope: float = 0.5
    yaw_rate: float = 0.75
    yaw_rate_fine: float = 1.5
    yaw_rate_slope: float = 0.0
    linear_velocity_width: float = 0.25
    linear_velocity_fine_width: float = 0.012
    yaw_rate_width: float = 0.25
    yaw_rate_fine_width: float = 0.04
    stand_still: float = 0.5
    stand_contact: float = 1.0
    torque: float = 1e-5
    joint_acceleration: float = 1e-7
    action_rate: float = 1.2
    target_step: float = 5.0
    target_step_limit: float = 0.28
    torque_saturation: float = 2.0
    power: float = 0.0
    power_limit: float = 800.0
    joint_limit: float = 2.0
    foot_slip: float = 0.1
    vertical_velocity: float = 0.2
    roll_pitch_rate: float = 0.02
    tilt: float = 0.2
    carried_foot: float = 2.0
    bearing_feet: float = 0.0
    cadence: float = 0.0
    termination: float = 2.0
    carried_leg: int = 1


@dataclass(frozen=True)
class TaskConfig:
    """A locomotion task.

    Attributes:
        name: As `--task` spells it.
        simulation: Time stepping.
        commands: What the robot is asked to do.
        noise: Of the observation.
        reset: Starts and terminations.
        push: Disturbances.
        randomization: Physical parameters.
        reward: Weights of the task reward.
        command_ranges: Ranges that the exported policy accepts (vx, vy, wz).
        max_target_step: Largest change of a joint target between control steps [rad]; 0 for no limit. Actions are
            held to it, here and in the exported file.
    """

    name: str = "aliengo_amp"
    simulation: SimulationConfig = field(default_factory=SimulationConfig)
    commands: CommandConfig = field(default_factory=CommandConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    reset: ResetConfig = field(default_factory=ResetConfig)
    push: PushConfig = field(default_factory=PushConfig)
    randomization: RandomizationConfig = field(default_factory=RandomizationConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    command_ranges: Tuple[Range, Range, Range] = ((0.0, 1.1), (-0.3, 0.3), (-1.0, 1.0))
    max_target_step: float = 0.34
