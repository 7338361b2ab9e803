"""The body of the twin: MuJoCo advanced in fixed steps under the motors' control law."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
import numpy.typing as npt

from aliengo_description import robot
from aliengo_sim.motors import LIMP, MotorTargets, available_torque

__all__ = ["PUSH_DURATION_S", "START_POSES", "Dynamics", "GroundTruth"]

Array = npt.NDArray[np.float64]

START_POSES = ("lying", "standing")
PUSH_DURATION_S = 0.05
"""A push is a constant force for this long: a blow, but not an infinite one."""
_SETTLE_S = 1.5  # simulated time in which a limp robot comes to rest on the ground


@dataclass(frozen=True)
class GroundTruth:
    """What no sensor knows: the true state of the robot, as a copy.

    Attributes:
        time_s: Simulated time since start; resets do not set it back.
        position_w: (3,) origin of the trunk in the world [m].
        quaternion: (4,) body to world, w x y z.
        linear_velocity_b: (3,) in the body frame [m/s].
        angular_velocity_b: (3,) in the body frame [rad/s].
        joint_positions: (12,) [rad].
        joint_velocities: (12,) [rad/s].
        joint_torques: (12,) applied by the motors [N m].
        foot_forces: (4,) contact force on each foot [N].
    """

    time_s: float
    position_w: Array
    quaternion: Array
    linear_velocity_b: Array
    angular_velocity_b: Array
    joint_positions: Array
    joint_velocities: Array
    joint_torques: Array
    foot_forces: Array

    @property
    def up(self) -> float:
        """Cosine of the tilt: 1 upright, 0 on the side, -1 on the back."""
        _, x, y, _ = self.quaternion
        return float(1.0 - 2.0 * (x * x + y * y))


class Dynamics:
    """The simulated robot on flat ground.

    Args:
        period_s: Physics step [s].
        start_pose: One of `START_POSES`: "lying" is limp on the ground and at rest.
        foot_friction: Friction coefficient of the feet.
        payload_kg: Mass added at the trunk's centre of mass [kg].

    Raises:
        ValueError: If the pose is unknown or a figure is out of its range.
    """

    def __init__(
        self,
        period_s: float = 0.001,
        start_pose: str = "lying",
        foot_friction: float = robot.FOOT_FRICTION,
        payload_kg: float = 0.0,
    ) -> None:
        if start_pose not in START_POSES:
            raise ValueError(f"start_pose is {start_pose!r}; allowed: {', '.join(START_POSES)}")
        if not 0.0 < period_s <= 0.005:
            raise ValueError(f"period_s is {period_s}; allowed: above 0, up to 0.005")
        if foot_friction <= 0.0:
            raise ValueError(f"foot_friction is {foot_friction}; allowed: above 0")
        if robot.TRUNK_MASS + payload_kg <= 0.0:
            raise ValueError(f"payload_kg is {payload_kg}; allowed: above {-robot.TRUNK_MASS:.3f}")
        self.model = self._build_model(period_s, foot_friction, payload_kg)
        self.data = mujoco.MjData(self.model)
        self.period_s = period_s
        self._steps = 0
        self._push_steps_left = 0
        self._trunk = self.model.body("trunk").id
        self._views()
        self._start = self._find_start(start_pose)
        self.reset()
        self._steps = 0

    @staticmethod
    def _build_model(period_s: float, foot_friction: float, payload_kg: float) -> mujoco.MjModel:
        model = mujoco.MjModel.from_xml_path(str(robot.mjcf_path(scene=True)))
        model.opt.timestep = period_s
        # A state that diverged is ours to notice; MuJoCo would silently start again at time zero.
        model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
        for leg in robot.LEG_NAMES:
            model.geom(f"{leg}_foot_collision").friction[0] = foot_friction
        model.body("trunk").mass[0] += payload_kg
        # What the compiler derived from the masses: subtrees, inverse weights for the contacts.
        mujoco.mj_setConst(model, mujoco.MjData(model))
        return model

    def _views(self) -> None:
        """Keep slices of MuJoCo's own arrays; looking sensors up by name costs more than a step."""
        data = self.data
        self.joint_positions = data.qpos[7:]
        self.joint_velocities = data.qvel[6:]
        self.joint_accelerations = data.qacc[6:]
        self.joint_torques = data.ctrl
        self.imu_gyro = data.sensor("imu_gyro").data
        self.imu_accelerometer = data.sensor("imu_accelerometer").data
        self.imu_quaternion = data.sensor("imu_quaternion").data
        first = self.model.sensor(f"{robot.FOOT_NAMES[0]}_touch").adr[0]
        self.foot_forces = data.sensordata[first : first + 4]

    def _find_start(self, pose: str) -> Array:
        """Return qpos of the start. A lying robot is dropped limp and left to come to rest."""
        key = self.model.key("lying" if pose == "lying" else "stand").id
        mujoco.mj_resetDataKeyframe(self.model, self.data, key)
        mujoco.mj_step1(self.model, self.data)
        if pose == "lying":
            for _ in range(round(_SETTLE_S / self.period_s)):
                self.step(LIMP)
        start: Array = self.data.qpos.copy()
        start[:2] = 0.0
        return start

    @property
    def time_s(self) -> float:
        """Simulated time [s]; counted in steps, so that it never runs backwards."""
        return self._steps * self.period_s

    @property
    def diverged(self) -> bool:
        """Whether the state is no longer finite, or nothing a robot could do (over 1000 /s)."""
        return not bool(np.abs(self.data.qvel).max() < 1e3)

    def reset(self) -> None:
        """Put the robot back to its start, at rest. Time goes on."""
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:] = self._start
        self._push_steps_left = 0
        # A first half step fills position and velocity sensors, contacts and accelerations.
        mujoco.mj_forward(self.model, self.data)

    def step(self, targets: MotorTargets) -> None:
        """Advance by one period with the motors following ``targets``.

        MuJoCo's step is taken in halves, so that afterwards positions, velocities and contacts
        belong to the new state. Accelerations and contact forces are those of the past period.
        """
        velocity = self.joint_velocities
        demand = targets.demand(self.joint_positions, velocity)
        self.data.ctrl[:] = available_torque(demand, velocity)
        mujoco.mj_step2(self.model, self.data)
        mujoco.mj_step1(self.model, self.data)
        self._steps += 1
        if self._push_steps_left:
            self._push_steps_left -= 1
            if not self._push_steps_left:
                self.data.xfrc_applied[self._trunk] = 0.0

    def push(self, impulse_w: npt.ArrayLike) -> None:
        """Hit the trunk at its centre of mass.

        Args:
            impulse_w: (3,) impulse in the world frame [N s], spread over `PUSH_DURATION_S`.

        Raises:
            ValueError: If the impulse is not three finite numbers.
        """
        impulse = np.asarray(impulse_w, dtype=np.float64)
        if impulse.shape != (3,) or not np.isfinite(impulse).all():
            raise ValueError(f"impulse is {impulse.tolist()}; expected three finite numbers [N s]")
        steps = max(1, round(PUSH_DURATION_S / self.period_s))
        self.data.xfrc_applied[self._trunk, :3] = impulse / (steps * self.period_s)
        self._push_steps_left = steps

    def ground_truth(self) -> GroundTruth:
        """Return a copy of the true state."""
        qpos, qvel = self.data.qpos, self.data.qvel
        rotation = np.empty(9)
        mujoco.mju_quat2Mat(rotation, qpos[3:7])
        return GroundTruth(
            time_s=self.time_s,
            position_w=qpos[:3].copy(),
            quaternion=qpos[3:7].copy(),
            # A free joint's linear velocity is in the world frame, its angular one in the body's.
            linear_velocity_b=rotation.reshape(3, 3).T @ qvel[:3],
            angular_velocity_b=qvel[3:6].copy(),
            joint_positions=qpos[7:].copy(),
            joint_velocities=qvel[6:].copy(),
            joint_torques=self.data.ctrl.copy(),
            foot_forces=self.foot_forces.copy(),
        )
