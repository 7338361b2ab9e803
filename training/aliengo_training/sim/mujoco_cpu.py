"""MuJoCo on the CPU: one model and one state per robot, stepped by a pool of threads.

Slower than the GPU backend, but exact, everywhere available and with the collision shapes of the whole robot: the
backend of evaluation, of tests and of a first walk without a GPU.
"""

from __future__ import annotations

import copy
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, List, Optional, Sequence

import mujoco
import numpy as np
import torch
from torch import Tensor

from aliengo_training.sim.mujoco_model import FORCE_SLOTS, build_model, index_model
from aliengo_training.sim.simulator import (
    NUM_FEET,
    NUM_JOINTS,
    PhysicsParameters,
    RobotState,
    SimulationConfig,
    Simulator,
    check_rows,
    nominal_parameters,
)


class MujocoCpuSimulator(Simulator):
    """`Simulator` over plain MuJoCo; see `Simulator` for the tensors.

    Args:
        num_envs: Number of robots.
        config: Time stepping.
        threads: Worker threads; by default one per available core.
    """

    def __init__(
        self,
        num_envs: int,
        config: Optional[SimulationConfig] = None,
        threads: Optional[int] = None,
    ) -> None:
        self.num_envs = num_envs
        self.config = config or SimulationConfig()
        self.device = torch.device("cpu")
        self.model = build_model(self.config)
        # A robot whose physics diverged shall be seen to have, and not stand at the origin again.
        self.model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
        self._index = index_model(self.model)
        self._models: List[Any] = [copy.copy(self.model) for _ in range(num_envs)]
        self._datas: List[Any] = [mujoco.MjData(model) for model in self._models]
        threads = max(1, min(threads or len(os.sched_getaffinity(0)), num_envs))
        self._pool = ThreadPoolExecutor(threads)
        self._chunks = np.array_split(np.arange(num_envs), threads)
        self._allocate()
        self.set_parameters(nominal_parameters(num_envs, self.device))

    @property
    def backend(self) -> str:
        """Name of the physics engine, as `--sim` spells it."""
        return "mujoco"

    def _allocate(self) -> None:
        count = self.num_envs
        self._qpos = np.zeros((count, 7 + NUM_JOINTS), dtype=np.float32)
        self._qvel = np.zeros((count, 6 + NUM_JOINTS), dtype=np.float32)
        self._torque = np.zeros((count, NUM_JOINTS), dtype=np.float32)
        self._force = np.zeros((count, FORCE_SLOTS), dtype=np.float32)
        self._targets = np.zeros((count, NUM_JOINTS), dtype=np.float32)
        self._previous = np.zeros((count, NUM_JOINTS), dtype=np.float32)
        qpos, qvel = torch.from_numpy(self._qpos), torch.from_numpy(self._qvel)
        self.base_position_w, self.base_quaternion = qpos[:, :3], qpos[:, 3:7]
        self.joint_positions, self.joint_velocities = qpos[:, 7:], qvel[:, 6:]
        self.base_linear_velocity_w, self.base_angular_velocity_b = qvel[:, :3], qvel[:, 3:6]
        self.joint_torques = torch.from_numpy(self._torque)
        forces = torch.from_numpy(self._force)
        self.foot_forces, self.trunk_force = forces[:, :NUM_FEET], forces[:, NUM_FEET]

    def write_targets(self, joint_targets: Tensor) -> None:
        """Hand over joint targets (N, 12) [rad]."""
        check_rows("joint_targets", joint_targets, (self.num_envs, NUM_JOINTS))
        self._targets[:] = joint_targets.detach().numpy()

    def step_physics(self) -> None:
        """Advance one control period and refresh the tensors."""
        list(self._pool.map(self._step_chunk, self._chunks))
        self._previous[:] = self._targets

    def _step_chunk(self, envs: Sequence[int]) -> None:
        decimation = self.config.decimation
        for env in envs:
            model, data = self._models[env], self._datas[env]
            late = int(self._delay[env])
            if late > 0:
                data.ctrl[:] = self._previous[env]
                mujoco.mj_step(model, data, late)
            if late < decimation:
                data.ctrl[:] = self._targets[env]
                mujoco.mj_step(model, data, decimation - late)
            self._read(env)

    def _read(self, env: int) -> None:
        data = self._datas[env]
        self._qpos[env] = data.qpos
        self._qvel[env] = data.qvel
        self._torque[env] = data.actuator_force
        self._force[env] = 0.0
        # Whole columns: an object per contact would take a tenth of an evaluation's time.
        contacts, rows, slots = data.contact, data.efc_force, self._index.force_slots
        columns = (contacts.efc_address.tolist(), contacts.dim.tolist(), contacts.geom.tolist())
        for first, dim, (one, other) in zip(*columns):
            if first < 0:
                continue
            # With the pyramidal cone the normal force is the sum over the contact's 2 (dim - 1) facets.
            normal = rows[first : first + max(1, 2 * (dim - 1))].sum()
            self._force[env, max(slots[one], slots[other])] += normal

    def reset(self, mask: Tensor, state: RobotState) -> None:
        """Put the masked environments into a state; the others are untouched."""
        qpos = torch.cat([state.base_position_w, state.base_quaternion, state.joint_positions], -1)
        qvel = torch.cat(
            [state.base_linear_velocity_w, state.base_angular_velocity_b, state.joint_velocities],
            -1,
        )
        for env in torch.nonzero(mask).flatten().tolist():
            data = self._datas[env]
            mujoco.mj_resetData(self._models[env], data)
            data.qpos[:] = qpos[env].numpy()
            data.qvel[:] = qvel[env].numpy()
            self._qpos[env], self._qvel[env] = data.qpos, data.qvel
            self._torque[env] = 0.0
            self._force[env] = 0.0
            self._previous[env] = self._qpos[env, 7:]

    def push(self, velocity_change_w: Tensor) -> None:
        """Add (N, 3) to the base's linear velocity [m/s]."""
        for env in torch.nonzero(velocity_change_w.abs().sum(-1) > 0).flatten().tolist():
            self._datas[env].qvel[:3] += velocity_change_w[env].numpy()
            self._qvel[env, :3] = self._datas[env].qvel[:3]

    def set_parameters(self, parameters: PhysicsParameters) -> None:
        """Apply physical parameters to all environments."""
        index, nominal = self._index, self.model
        check_rows("foot_friction", parameters.foot_friction, (self.num_envs,))
        self._delay = parameters.action_delay_steps.numpy().copy()
        for env, (model, data) in enumerate(zip(self._models, self._datas)):
            model.geom_friction[index.foot_geoms, 0] = float(parameters.foot_friction[env])
            trunk = index.trunk_body
            model.body_mass[trunk] = nominal.body_mass[trunk] + float(
                parameters.trunk_mass_offset[env]
            )
            model.body_ipos[trunk] = (
                nominal.body_ipos[trunk] + parameters.trunk_com_offset[env].numpy()
            )
            strength = parameters.motor_strength[env].numpy()
            model.actuator_gainprm[:, 0] = strength * parameters.kp[env].numpy()
            model.actuator_biasprm[:, 1] = -model.actuator_gainprm[:, 0]
            model.actuator_biasprm[:, 2] = -strength * parameters.kd[env].numpy()
            model.dof_armature[index.dofs] = parameters.joint_armature[env].numpy()
            model.dof_frictionloss[index.dofs] = parameters.joint_friction[env].numpy()
            model.dof_damping[index.dofs] = parameters.joint_damping[env].numpy()
            state = np.concatenate([data.qpos, data.qvel])
            mujoco.mj_setConst(
                model, data
            )  # derived masses and inverse weights; it also resets the state
            data.qpos[:], data.qvel[:] = state[: model.nq], state[model.nq :]

    def render_data(self, env: int) -> Any:
        """The MuJoCo state of one environment, for a renderer or viewer.

        Raises:
            IndexError: If there is no such environment.
        """
        if not 0 <= env < self.num_envs:
            raise IndexError(
                f"environment {env} does not exist, allowed are 0..{self.num_envs - 1}"
            )
        return self._datas[env]

    def close(self) -> None:
        """Stop the worker threads."""
        self._pool.shutdown()
