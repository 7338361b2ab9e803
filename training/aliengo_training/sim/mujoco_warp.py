"""MuJoCo Warp: thousands of Aliengos on one GPU, a control step being one captured CUDA graph.

Torch and Warp share one stream and the same memory: the tensors of `Simulator` are views of Warp's arrays. All that
happens between two policy steps inside the physics (delayed targets, the physics steps, contact forces) is recorded
once and replayed with a single launch; launched one by one from Python the same kernels are ten times slower.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, List, Optional, Tuple

import mujoco_warp as mjw
import torch
import warp as wp
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
    delayed_targets,
    nominal_parameters,
)

# Rows: 12 joint frictions, 4 feet and 4 trunk corners with 4 facets each make 44; some room for joint limits.
# MuJoCo Warp drops what is beyond, and prints that it does.
CONSTRAINTS_PER_WORLD = 56
CONTACTS_PER_WORLD = 12

# Arrays lie this deep in the structures of the model and of the data, at most.
_DEPTH = 6

_RANDOMISED_FIELDS = (
    "geom_friction",
    "body_mass",
    "body_subtreemass",
    "body_ipos",
    "actuator_gainprm",
    "actuator_biasprm",
    "dof_armature",
    "dof_frictionloss",
    "dof_damping",
)


@wp.kernel
def _accumulate_normal_forces(
    contact_count: wp.array(dtype=int),
    contact_world: wp.array(dtype=int),
    contact_geom: wp.array(dtype=wp.vec2i),
    contact_dim: wp.array(dtype=int),
    contact_rows: wp.array2d(dtype=int),
    constraint_force: wp.array2d(dtype=float),
    slot_of_geom: wp.array(dtype=int),
    row_limit: int,
    forces: wp.array2d(dtype=float),
):
    """Sum each contact's facet forces (pyramidal cone) into the slot of its robot geom."""
    contact = wp.tid()
    if contact >= contact_count[0]:
        return
    world = contact_world[contact]
    geoms = contact_geom[contact]
    slot = wp.max(slot_of_geom[geoms[0]], slot_of_geom[geoms[1]])
    facets = wp.max(1, 2 * (contact_dim[contact] - 1))
    total = float(0.0)  # noqa: UP018 (Warp: a plain constant could not be added to in a loop)
    for facet in range(facets):
        row = contact_rows[contact, facet]
        if row >= 0 and row < row_limit:
            total += constraint_force[world, row]
    wp.atomic_add(forces, world, slot, total)


class MujocoWarpSimulator(Simulator):
    """`Simulator` over MuJoCo Warp; see `Simulator` for the tensors.

    Args:
        num_envs: Number of robots.
        device: A CUDA device; "cpu" runs the same kernels slowly, for tests.
        config: Time stepping.

    The caller must run all torch work on the current stream: the constructor makes a stream of its own the current
    one on CUDA, because graphs cannot be captured on the legacy default stream.
    """

    capturable = True

    def __init__(
        self, num_envs: int, device: str = "cuda:0", config: Optional[SimulationConfig] = None
    ) -> None:
        self.num_envs = num_envs
        self.device = torch.device(device)
        self.config = config or SimulationConfig()
        wp.config.quiet = True
        wp.init()
        self._wp_device = wp.get_device(device)
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
            stream = torch.cuda.Stream(self.device)
            torch.cuda.set_stream(stream)
            wp.set_device(self._wp_device)
            wp.set_stream(wp.stream_from_torch(stream))
        self.cpu_model = build_model(self.config)
        self._index = index_model(self.cpu_model)
        with wp.ScopedDevice(self._wp_device):
            self._build()
        self._graph: Optional[Any] = None
        self.set_parameters(nominal_parameters(num_envs, self.device))

    @property
    def backend(self) -> str:
        """Name of the physics engine, as `--sim` spells it."""
        return "mujoco_warp"

    def _build(self) -> None:
        count = self.num_envs
        self._model = mjw.put_model(
            self.cpu_model, batch_sizes=dict.fromkeys(_RANDOMISED_FIELDS, count)
        )
        self._data = mjw.make_data(
            self.cpu_model, nworld=count, nconmax=CONTACTS_PER_WORLD, njmax=CONSTRAINTS_PER_WORLD
        )
        # Few iterations seldom converge to the solver's tolerance; that is the chosen trade, not an error.
        unconverged = mjw.OverflowType.ITERATIONS | mjw.OverflowType.LS_ITERATIONS
        self._model.opt.warn_overflow &= ~unconverged
        self._nominal = {
            name: wp.to_torch(getattr(self._model, name)).clone() for name in _RANDOMISED_FIELDS
        }
        qpos, qvel = wp.to_torch(self._data.qpos), wp.to_torch(self._data.qvel)
        self._qpos, self._qvel = qpos, qvel
        self._warmstart = wp.to_torch(self._data.qacc_warmstart)
        self.base_position_w, self.base_quaternion = qpos[:, :3], qpos[:, 3:7]
        self.joint_positions, self.joint_velocities = qpos[:, 7:], qvel[:, 6:]
        self.base_linear_velocity_w, self.base_angular_velocity_b = qvel[:, :3], qvel[:, 3:6]
        self.joint_torques = wp.to_torch(self._data.actuator_force)
        self._controls: List[Any] = [
            wp.zeros((count, NUM_JOINTS), dtype=float) for _ in range(self.config.decimation)
        ]
        self._control_tensors = [wp.to_torch(control) for control in self._controls]
        self._forces = wp.zeros((count, FORCE_SLOTS), dtype=float)
        forces = wp.to_torch(self._forces)
        self._force_tensor = forces
        self.foot_forces, self.trunk_force = forces[:, :NUM_FEET], forces[:, NUM_FEET]
        self._slot_of_geom = wp.array(self._index.force_slots.astype("int32"), dtype=int)
        self._delay = torch.zeros(count, dtype=torch.int64, device=self.device)
        self._previous = torch.zeros(count, NUM_JOINTS, device=self.device)

    def write_targets(self, joint_targets: Tensor) -> None:
        """Spread targets over the physics steps; torch operations only, so that a torch graph may capture it."""
        check_rows("joint_targets", joint_targets, (self.num_envs, NUM_JOINTS))
        steps = delayed_targets(self._previous, joint_targets, self._delay, self.config.decimation)
        for buffer, target in zip(self._control_tensors, steps):
            buffer.copy_(target)
        self._previous.copy_(joint_targets)

    def step_physics(self) -> None:
        """Replay the captured physics of one control period (capturing it on the first call on a GPU)."""
        if not self._wp_device.is_cuda:
            with wp.ScopedDevice(self._wp_device):
                self._physics()
            return
        if self._graph is None:
            self._capture()
        wp.capture_launch(self._graph)

    def _capture(self) -> None:
        """Record the physics; the warm-up that loads the kernels must leave no trace in the state."""
        saved = [tensor.clone() for tensor in (self._qpos, self._qvel, self._warmstart)]
        self._physics()
        for tensor, value in zip((self._qpos, self._qvel, self._warmstart), saved):
            tensor.copy_(value)
        with wp.ScopedCapture(device=self._wp_device) as capture:
            self._physics()
        self._graph = capture.graph

    def _physics(self) -> None:
        model, data = self._model, self._data
        for control in self._controls:
            wp.copy(data.ctrl, control)
            mjw.step(model, data)
        self._forces.zero_()
        wp.launch(
            _accumulate_normal_forces,
            dim=data.naconmax,
            inputs=[
                data.nacon,
                data.contact.worldid,
                data.contact.geom,
                data.contact.dim,
                data.contact.efc_address,
                data.efc.force,
                self._slot_of_geom,
                data.njmax,
            ],
            outputs=[self._forces],
        )

    def reset(self, mask: Tensor, state: RobotState) -> None:
        """Put the masked environments into a state; torch operations only, so that a torch graph may capture it."""
        rows = mask.unsqueeze(-1)
        qpos = torch.cat([state.base_position_w, state.base_quaternion, state.joint_positions], -1)
        qvel = torch.cat(
            [state.base_linear_velocity_w, state.base_angular_velocity_b, state.joint_velocities],
            -1,
        )
        self._qpos.copy_(torch.where(rows, qpos, self._qpos))
        self._qvel.copy_(torch.where(rows, qvel, self._qvel))
        self._warmstart.masked_fill_(rows, 0.0)
        self._force_tensor.masked_fill_(rows, 0.0)
        self._previous.copy_(torch.where(rows, state.joint_positions, self._previous))

    def push(self, velocity_change_w: Tensor) -> None:
        """Add (N, 3) to the base's linear velocity [m/s]."""
        self._qvel[:, :3].add_(velocity_change_w)

    def set_parameters(self, parameters: PhysicsParameters) -> None:
        """Apply physical parameters to all environments, in place, so that a captured graph sees them."""
        index = self._index
        fields = {name: wp.to_torch(getattr(self._model, name)) for name in _RANDOMISED_FIELDS}
        feet = torch.as_tensor(index.foot_geoms, device=self.device)
        dofs = torch.as_tensor(index.dofs, device=self.device)
        trunk = index.trunk_body
        fields["geom_friction"][:, feet, 0] = parameters.foot_friction.unsqueeze(-1)
        for name in ("body_mass", "body_subtreemass"):
            fields[name][:, trunk] = self._nominal[name][:, trunk] + parameters.trunk_mass_offset
        fields["body_subtreemass"][:, 0] = (
            self._nominal["body_subtreemass"][:, 0] + parameters.trunk_mass_offset
        )
        fields["body_ipos"][:, trunk] = (
            self._nominal["body_ipos"][:, trunk] + parameters.trunk_com_offset
        )
        gain = parameters.motor_strength * parameters.kp
        fields["actuator_gainprm"][:, :, 0] = gain
        fields["actuator_biasprm"][:, :, 1] = -gain
        fields["actuator_biasprm"][:, :, 2] = -parameters.motor_strength * parameters.kd
        fields["dof_armature"][:, dofs] = parameters.joint_armature
        fields["dof_frictionloss"][:, dofs] = parameters.joint_friction
        fields["dof_damping"][:, dofs] = parameters.joint_damping
        self._delay.copy_(parameters.action_delay_steps)

    def array_bytes(self) -> int:
        """Size of all arrays of the physics, shared ones counted once."""
        sizes: Dict[int, int] = {}
        pending: List[Tuple[Any, int]] = [(vars(self), 0)]
        while pending:
            item, depth = pending.pop()
            if isinstance(item, wp.array):
                if item.ptr:
                    sizes[item.ptr] = max(sizes.get(item.ptr, 0), item.capacity)
            elif isinstance(item, dict):
                pending += [(value, depth + 1) for value in item.values()]
            elif isinstance(item, (list, tuple)):
                pending += [(value, depth + 1) for value in item]
            elif dataclasses.is_dataclass(item) and depth < _DEPTH:
                pending.append((vars(item), depth + 1))
        return sum(sizes.values())
