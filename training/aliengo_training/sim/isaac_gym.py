"""Isaac Gym Preview 4 as a `Simulator`: PhysX with its tensors on the GPU or the CPU.

Written from the documented interface of Preview 4 and checked against a table of it; it has not been
run with the real Isaac Gym by us. docs/isaac_gym.md says how a user validates it in one command.

Three rules of Isaac Gym shape this file. Each state setter may be called once between two steps, so
resets and pushes only mark what they changed and are handed over together before the next step. Index
tensors must be int32 and stay alive. Masses can be set only while the robots are created, so that the
simulation is built when the first parameters arrive.
"""

from __future__ import annotations

import warnings
from typing import Any, Dict, List, Optional

import torch
from torch import Tensor

from aliengo_description import robot
from aliengo_training.isaac_import import import_isaac_gym
from aliengo_training.sim.isaac_build import create_robots, create_sim, load_asset, set_friction
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

__all__ = ["IsaacGymSimulator"]


class IsaacGymSimulator(Simulator):
    """`Simulator` over Isaac Gym; see `Simulator` for the tensors.

    Args:
        num_envs: Number of robots.
        device: Torch device, "cuda:N" (GPU pipeline) or "cpu".
        config: Time stepping.
        headless: Without a window. With one, ESC ends the program and V toggles drawing.
    """

    def __init__(
        self,
        num_envs: int,
        device: str,
        config: Optional[SimulationConfig] = None,
        headless: bool = True,
    ) -> None:
        self._gymapi, self._gymtorch = import_isaac_gym()
        self.num_envs = num_envs
        self.device = torch.device(device)
        self.config = config or SimulationConfig()
        self._headless = headless
        self._viewer: Any = None
        self._drawing = True
        self._parameters: Optional[PhysicsParameters] = None
        self._gym = self._gymapi.acquire_gym()
        self._sim = create_sim(
            self._gym, self._gymapi, self.config, num_envs, self.device, headless
        )
        self._asset = load_asset(self._gym, self._gymapi, self._sim)
        self._index_asset()
        self._allocate()

    @property
    def backend(self) -> str:
        """Name of the physics engine, as `--sim` spells it."""
        return "isaacgym"

    # --- building ----------------------------------------------------------------------------

    def _index_asset(self) -> None:
        """Map Isaac Gym's own order of joints and bodies to ours, by name."""
        joints: List[str] = list(self._gym.get_asset_dof_names(self._asset))
        bodies: List[str] = list(self._gym.get_asset_rigid_body_names(self._asset))
        for kind, found, expected in (
            ("joints", joints, robot.JOINT_NAMES),
            ("bodies", bodies, robot.FOOT_NAMES),
        ):
            missing = [name for name in expected if name not in found]
            if missing:
                raise ValueError(f"Isaac Gym's {kind} lack {missing}; it has {found}")
        self._bodies = bodies
        self._to_policy = self._indices([joints.index(name) for name in robot.JOINT_NAMES])
        self._to_isaac = self._indices([robot.JOINT_NAMES.index(name) for name in joints])
        self._feet = self._indices([bodies.index(name) for name in robot.FOOT_NAMES])

    def _indices(self, values: List[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=self.device)

    def _allocate(self) -> None:
        """Allocate the tensors that tasks see, and the robot's constants."""
        count = self.num_envs

        def zeros(*shape: int) -> Tensor:
            return torch.zeros((count, *shape), dtype=torch.float32, device=self.device)

        self.base_position_w, self.base_quaternion = zeros(3), zeros(4)
        self.base_linear_velocity_w, self.base_angular_velocity_b = zeros(3), zeros(3)
        self.joint_positions, self.joint_velocities = zeros(NUM_JOINTS), zeros(NUM_JOINTS)
        self.joint_torques = zeros(NUM_JOINTS)
        self.foot_forces, self.trunk_force = zeros(NUM_FEET), zeros()
        self._targets, self._previous = zeros(NUM_JOINTS), zeros(NUM_JOINTS)
        self._moved = torch.zeros(count, dtype=torch.bool, device=self.device)
        self._reset = torch.zeros(count, dtype=torch.bool, device=self.device)
        self._torque_limits = torch.tensor(
            robot.TORQUE_LIMITS.copy(), dtype=torch.float32, device=self.device
        )

    def _start(self, parameters: PhysicsParameters) -> None:
        """Create the robots with their parameters, and take hold of Isaac Gym's tensors."""
        on_gpu = self.device.type == "cuda"
        if on_gpu and bool(parameters.trunk_com_offset.any()):
            warnings.warn(
                "Isaac Gym cannot move centres of mass on the GPU: trunk_com_offset is ignored",
                stacklevel=3,
            )
        self._robots = create_robots(
            self._gym, self._gymapi, self._sim, self._asset, parameters, move_com=not on_gpu
        )
        set_friction(self._gym, self._robots, parameters.foot_friction)
        self._gym.prepare_sim(self._sim)
        self._actor_indices = torch.tensor(
            [each.index for each in self._robots], dtype=torch.int32, device=self.device
        )
        self._acquire()
        if not self._headless:
            self._open_viewer()

    def _acquire(self) -> None:
        """Wrap Isaac Gym's tensors; they are views of its memory."""
        wrap = self._gymtorch.wrap_tensor
        self._root_states = wrap(self._gym.acquire_actor_root_state_tensor(self._sim))
        self._dof_states = wrap(self._gym.acquire_dof_state_tensor(self._sim))
        self._contacts = wrap(self._gym.acquire_net_contact_force_tensor(self._sim))
        self._roots = self._root_states.view(self.num_envs, 13)
        self._joints = self._dof_states.view(self.num_envs, NUM_JOINTS, 2)
        self._forces = self._contacts.view(self.num_envs, len(self._bodies), 3)
        self._efforts = torch.zeros(
            self.num_envs, NUM_JOINTS, dtype=torch.float32, device=self.device
        )
        self._gym.refresh_actor_root_state_tensor(self._sim)
        self._gym.refresh_dof_state_tensor(self._sim)
        # Each robot counts its position from where Isaac Gym has put it, so that they do not all start in one place.
        self._origins = self._roots[:, 0:3].clone()
        self._origins[:, 2] = 0.0
        self._read()

    # --- stepping ----------------------------------------------------------------------------

    def write_targets(self, joint_targets: Tensor) -> None:
        """Hand over joint targets (N, 12) [rad]."""
        check_rows("joint_targets", joint_targets, (self.num_envs, NUM_JOINTS))
        self._targets.copy_(joint_targets)

    def step_physics(self) -> None:
        """Advance one control period and refresh the tensors."""
        parameters = self._require_parameters()
        self._hand_over()
        targets = delayed_targets(
            self._previous,
            self._targets,
            parameters.action_delay_steps,
            self.config.decimation,
        )
        for target in targets:
            self._apply_torques(target, parameters)
            self._gym.simulate(self._sim)
            if self.device.type == "cpu":
                self._gym.fetch_results(self._sim, True)
            self._gym.refresh_dof_state_tensor(self._sim)
            self._read_joints()
        self._previous.copy_(self._targets)
        self._gym.refresh_actor_root_state_tensor(self._sim)
        self._gym.refresh_net_contact_force_tensor(self._sim)
        self._read()
        self._read_forces()
        self._draw()

    def _apply_torques(self, target: Tensor, parameters: PhysicsParameters) -> None:
        """Command the motors' PD law with fresh joint states, and the joints' viscous friction."""
        position_error = target - self.joint_positions
        pd = parameters.kp * position_error - parameters.kd * self.joint_velocities
        limits = self._torque_limits
        torch.clamp(parameters.motor_strength * pd, -limits, limits, out=self.joint_torques)
        total = self.joint_torques - parameters.joint_damping * self.joint_velocities
        self._efforts.copy_(total[:, self._to_isaac])
        self._gym.set_dof_actuation_force_tensor(
            self._sim, self._gymtorch.unwrap_tensor(self._efforts)
        )

    def reset(self, mask: Tensor, state: RobotState) -> None:
        """Put the masked environments into a state; the others are untouched."""
        self._require_parameters()
        rows = mask.unsqueeze(-1)
        for own, new in (
            (self.base_position_w, state.base_position_w),
            (self.base_quaternion, state.base_quaternion),
            (self.base_linear_velocity_w, state.base_linear_velocity_w),
            (self.base_angular_velocity_b, state.base_angular_velocity_b),
            (self.joint_positions, state.joint_positions),
            (self.joint_velocities, state.joint_velocities),
            (self._previous, state.joint_positions),
        ):
            own.copy_(torch.where(rows, new, own))
        for forces in (self.joint_torques, self.foot_forces):
            forces.masked_fill_(rows, 0.0)
        self.trunk_force.masked_fill_(mask, 0.0)
        self._moved |= mask
        self._reset |= mask

    def push(self, velocity_change_w: Tensor) -> None:
        """Add (N, 3) to the base's linear velocity [m/s]."""
        self._require_parameters()
        self.base_linear_velocity_w += velocity_change_w
        self._moved |= velocity_change_w.abs().sum(-1) > 0.0

    def _hand_over(self) -> None:
        """Give Isaac Gym all that resets and pushes changed, each kind of state in one call."""
        moved, reset = self._moved, self._reset
        if bool(moved.any()):
            angular_w = _rotate(self.base_quaternion, self.base_angular_velocity_b)
            xyzw = self.base_quaternion[:, [1, 2, 3, 0]]
            new = torch.cat(
                [
                    self.base_position_w + self._origins,
                    xyzw,
                    self.base_linear_velocity_w,
                    angular_w,
                ],
                dim=-1,
            )
            self._roots.copy_(torch.where(moved.unsqueeze(-1), new, self._roots))
            indices = self._actor_indices[moved].contiguous()
            self._gym.set_actor_root_state_tensor_indexed(
                self._sim,
                self._gymtorch.unwrap_tensor(self._root_states),
                self._gymtorch.unwrap_tensor(indices),
                len(indices),
            )
            self._moved_indices = indices  # Isaac Gym keeps only the address
        if bool(reset.any()):
            pair = torch.stack([self.joint_positions, self.joint_velocities], dim=-1)
            new = pair[:, self._to_isaac]
            self._joints.copy_(torch.where(reset[:, None, None], new, self._joints))
            indices = self._actor_indices[reset].contiguous()
            self._gym.set_dof_state_tensor_indexed(
                self._sim,
                self._gymtorch.unwrap_tensor(self._dof_states),
                self._gymtorch.unwrap_tensor(indices),
                len(indices),
            )
            self._reset_indices = indices
        moved.zero_()
        reset.zero_()

    def set_parameters(self, parameters: PhysicsParameters) -> None:
        """Apply physical parameters; the first ones build the robots.

        Raises:
            ValueError: If later ones ask for other masses, rotor inertias or dry friction, which
                Isaac Gym cannot change once the simulation runs.
        """
        check_rows("foot_friction", parameters.foot_friction, (self.num_envs,))
        if self._parameters is None:
            self._start(parameters)
        else:
            for name in (
                "trunk_mass_offset",
                "trunk_com_offset",
                "joint_armature",
                "joint_friction",
            ):
                if not torch.equal(getattr(parameters, name), getattr(self._parameters, name)):
                    raise ValueError(
                        f"Isaac Gym takes {name} only before the first step; found other values later"
                    )
            if not torch.equal(parameters.foot_friction, self._parameters.foot_friction):
                set_friction(self._gym, self._robots, parameters.foot_friction)
        self._parameters = parameters

    def _require_parameters(self) -> PhysicsParameters:
        """Return the parameters; without any, build the nominal robots."""
        if self._parameters is None:
            self.set_parameters(nominal_parameters(self.num_envs, self.device))
        assert self._parameters is not None
        return self._parameters

    def _read(self) -> None:
        """Copy base and joints into our tensors, in our order and frames."""
        self.base_position_w.copy_(self._roots[:, 0:3] - self._origins)
        self.base_quaternion.copy_(self._roots[:, [6, 3, 4, 5]])
        self.base_linear_velocity_w.copy_(self._roots[:, 7:10])
        inverse = self.base_quaternion * self.base_quaternion.new_tensor([1.0, -1.0, -1.0, -1.0])
        self.base_angular_velocity_b.copy_(_rotate(inverse, self._roots[:, 10:13]))
        self._read_joints()

    def _read_joints(self) -> None:
        self.joint_positions.copy_(self._joints[:, self._to_policy, 0])
        self.joint_velocities.copy_(self._joints[:, self._to_policy, 1])

    def _read_forces(self) -> None:
        # The ground is level: the normal force is the vertical one.
        self.foot_forces.copy_(self._forces[:, self._feet, 2].clamp(min=0.0))
        self.trunk_force.copy_(self._forces[:, 0].norm(dim=-1))

    # --- window ------------------------------------------------------------------------------

    def _open_viewer(self) -> None:
        gymapi = self._gymapi
        self._viewer = self._gym.create_viewer(self._sim, gymapi.CameraProperties())
        keys: Dict[str, Any] = {"quit": gymapi.KEY_ESCAPE, "toggle drawing": gymapi.KEY_V}
        for action, key in keys.items():
            self._gym.subscribe_viewer_keyboard_event(self._viewer, key, action)
        self._gym.viewer_camera_look_at(
            self._viewer, None, gymapi.Vec3(-2.0, -3.0, 2.0), gymapi.Vec3(1.0, 1.0, 0.0)
        )

    def _draw(self) -> None:
        """Draw and answer the window's keys; nothing when headless."""
        if self._viewer is None:
            return
        if self._gym.query_viewer_has_closed(self._viewer):
            raise SystemExit("the window was closed")
        for event in self._gym.query_viewer_action_events(self._viewer):
            if event.action == "quit" and event.value > 0:
                raise SystemExit("ended by ESC")
            if event.action == "toggle drawing" and event.value > 0:
                self._drawing = not self._drawing
        if not self._drawing:
            self._gym.poll_viewer_events(self._viewer)
            return
        if self.device.type != "cpu":
            self._gym.fetch_results(self._sim, True)
        self._gym.step_graphics(self._sim)
        self._gym.draw_viewer(self._viewer, self._sim, True)
        self._gym.sync_frame_time(self._sim)

    def close(self) -> None:
        """Close the window and free the simulation."""
        if self._viewer is not None:
            self._gym.destroy_viewer(self._viewer)
            self._viewer = None
        if self._sim is not None:
            self._gym.destroy_sim(self._sim)
            self._sim = None


def _rotate(quaternion: Tensor, vector: Tensor) -> Tensor:
    """Rotate (N, 3) by unit quaternions (N, 4) wxyz, body to world."""
    w, u = quaternion[:, :1], quaternion[:, 1:]
    t = 2.0 * torch.cross(u, vector, dim=-1)
    return vector + w * t + torch.cross(u, t, dim=-1)
