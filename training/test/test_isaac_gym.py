"""The Isaac Gym backend against a stand-in that enforces Isaac Gym's rules, with simple physics.

The stand-in has other joint and body orders than ours, keeps world-frame velocities and xyzw
quaternions, refuses a state setter that is called twice between two steps, and int64 indices. What
it cannot show is that the real Isaac Gym behaves as documented.
"""

import importlib
import sys
import types
from types import SimpleNamespace
from typing import Any, Dict, List, Tuple

import numpy as np
import pytest
import torch

from aliengo_description import robot
from aliengo_training.isaac_import import IsaacGymMissingError, before_torch
from aliengo_training.sim.isaac_gym import IsaacGymSimulator
from aliengo_training.sim.simulator import RobotState, SimulationConfig, nominal_parameters

#: Isaac Gym's order here: legs and joints reversed.
JOINTS = tuple(reversed(robot.JOINT_NAMES))
BODIES = ("base_link", *(f"{leg}_{part}" for leg in ("RR", "FL", "RL", "FR") for part in
                         ("hip", "thigh", "calf", "foot")))  # fmt: skip
INERTIA = 0.05
COUNT = 3


class FakeGym:
    """One world per environment: joints are flywheels, the base flies straight on."""

    def __init__(self) -> None:
        self.calls: List[str] = []
        self.actors: List[Dict[str, Any]] = []
        self.since_step: List[str] = []
        self.prepared = False

    def __getattr__(self, name: str) -> Any:
        """Take any other call and remember it."""

        def call(*arguments: Any) -> Any:
            self.calls.append(name)
            return True

        return call

    def create_sim(self, compute: int, graphics: int, kind: str, params: Any) -> str:
        assert kind == "physx"
        self.params, self.graphics = params, graphics
        return "sim"

    def load_asset(self, sim: str, root: str, name: str, options: Any) -> str:
        assert options.default_dof_drive_mode == 3
        return "asset"

    def get_asset_dof_names(self, asset: str) -> Tuple[str, ...]:
        return JOINTS

    def get_asset_rigid_body_names(self, asset: str) -> Tuple[str, ...]:
        return BODIES

    def get_asset_dof_properties(self, asset: str) -> np.ndarray:
        names = ("armature", "friction", "driveMode", "stiffness", "damping")
        return np.zeros(12, dtype=[(name, np.float32) for name in names])

    def create_actor(self, env: Any, asset: str, pose: Any, name: str, *rest: int) -> int:
        assert not self.prepared
        self.actors.append({"group": rest[0], "filter": rest[1]})
        return len(self.actors) - 1

    def get_actor_index(self, env: Any, actor: int, domain: str) -> int:
        return actor

    def get_actor_rigid_body_properties(self, env: Any, actor: int) -> List[Any]:
        com = SimpleNamespace(x=0.01, y=0.0, z=0.0)
        return [SimpleNamespace(mass=12.0, com=com), SimpleNamespace(mass=1.0, com=com)]

    def set_actor_rigid_body_properties(
        self, env: Any, actor: int, properties: List[Any], recompute: bool
    ) -> None:
        assert not self.prepared
        self.actors[actor]["bodies"] = properties

    def set_actor_dof_properties(self, env: Any, actor: int, properties: np.ndarray) -> None:
        assert not self.prepared
        self.actors[actor]["joints"] = properties

    def get_actor_rigid_shape_properties(self, env: Any, actor: int) -> List[Any]:
        return [SimpleNamespace(friction=-1.0)]

    def set_actor_rigid_shape_properties(self, env: Any, actor: int, shapes: List[Any]) -> None:
        self.actors[actor]["friction"] = shapes[0].friction

    def prepare_sim(self, sim: str) -> None:
        self.prepared = True
        count = len(self.actors)
        self.roots = torch.zeros(count, 13)
        self.roots[:, 6] = 1.0
        self.roots[:, 2] = 0.42
        self.roots[:, 0] = 3.0 * torch.arange(count)
        self.dofs = torch.zeros(count * 12, 2)
        self.contacts = torch.zeros(count * len(BODIES), 3)
        self.efforts = torch.zeros(count * 12)
        self.visible = {"roots": self.roots.clone(), "dofs": self.dofs.clone()}

    def acquire_actor_root_state_tensor(self, sim: str) -> torch.Tensor:
        assert self.prepared
        return self.visible["roots"]

    def acquire_dof_state_tensor(self, sim: str) -> torch.Tensor:
        return self.visible["dofs"]

    def acquire_net_contact_force_tensor(self, sim: str) -> torch.Tensor:
        return self.contacts

    def refresh_actor_root_state_tensor(self, sim: str) -> None:
        self.visible["roots"].copy_(self.roots)

    def refresh_dof_state_tensor(self, sim: str) -> None:
        self.visible["dofs"].copy_(self.dofs)

    def _once(self, name: str) -> None:
        assert name not in self.since_step, f"{name} called twice between two steps"
        self.since_step.append(name)

    def set_actor_root_state_tensor_indexed(
        self, sim: str, full: torch.Tensor, indices: torch.Tensor, count: int
    ) -> None:
        self._once("roots")
        assert indices.dtype == torch.int32
        assert full.shape == self.roots.shape
        assert len(indices) == count > 0
        self.roots[indices.long()] = full[indices.long()]

    def set_dof_state_tensor_indexed(
        self, sim: str, full: torch.Tensor, indices: torch.Tensor, count: int
    ) -> None:
        self._once("dofs")
        assert indices.dtype == torch.int32
        assert full.shape == self.dofs.shape
        assert len(indices) == count > 0
        rows = self.dofs.view(-1, 12, 2)
        rows[indices.long()] = full.view(-1, 12, 2)[indices.long()]

    def set_dof_actuation_force_tensor(self, sim: str, efforts: torch.Tensor) -> None:
        self._once("efforts")
        self.efforts = efforts.reshape(-1).clone()

    def simulate(self, sim: str) -> None:
        self.calls.append("simulate")
        self.since_step.clear()
        step = self.params.dt
        self.dofs[:, 1] += step * self.efforts / INERTIA
        self.dofs[:, 0] += step * self.dofs[:, 1]
        self.roots[:, 0:3] += step * self.roots[:, 7:10]
        self.contacts.copy_(torch.arange(len(self.contacts) * 3).view(-1, 3).float())


@pytest.fixture
def gym(monkeypatch: pytest.MonkeyPatch) -> FakeGym:
    fake = FakeGym()
    gymapi: Any = types.ModuleType("isaacgym.gymapi")
    gymapi.acquire_gym = lambda: fake
    gymapi.SimParams = lambda: SimpleNamespace(physx=SimpleNamespace())
    for name in ("PlaneParams", "AssetOptions", "Transform", "CameraProperties"):
        setattr(gymapi, name, SimpleNamespace)
    gymapi.Vec3 = lambda x, y, z: SimpleNamespace(x=x, y=y, z=z)
    gymapi.SIM_PHYSX, gymapi.UP_AXIS_Z, gymapi.CC_LAST_SUBSTEP = "physx", 1, 1
    gymapi.DOF_MODE_EFFORT, gymapi.DOMAIN_SIM = 3, "sim"
    gymtorch: Any = types.ModuleType("isaacgym.gymtorch")
    gymtorch.wrap_tensor = gymtorch.unwrap_tensor = lambda tensor: tensor
    monkeypatch.setitem(sys.modules, "isaacgym", types.ModuleType("isaacgym"))
    monkeypatch.setitem(sys.modules, "isaacgym.gymapi", gymapi)
    monkeypatch.setitem(sys.modules, "isaacgym.gymtorch", gymtorch)
    return fake


@pytest.fixture
def simulator(gym: FakeGym) -> IsaacGymSimulator:
    return IsaacGymSimulator(COUNT, "cpu", SimulationConfig())


def states() -> RobotState:
    rng = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng)

    quaternion = torch.nn.functional.normalize(normal(COUNT, 4), dim=-1)
    return RobotState(
        base_position_w=normal(COUNT, 3),
        base_quaternion=quaternion,
        base_linear_velocity_w=normal(COUNT, 3),
        base_angular_velocity_b=normal(COUNT, 3),
        joint_positions=normal(COUNT, 12),
        joint_velocities=torch.zeros(COUNT, 12),
    )


def stand(simulator: IsaacGymSimulator) -> torch.Tensor:
    return torch.tensor(robot.DEFAULT_JOINT_POSITIONS.copy(), dtype=torch.float32).repeat(COUNT, 1)


ALL = torch.ones(COUNT, dtype=torch.bool)


def test_joint_order_is_mapped_by_name_both_ways(
    gym: FakeGym, simulator: IsaacGymSimulator
) -> None:
    state = states()
    simulator.reset(ALL, state)
    simulator.step(state.joint_positions)
    found = gym.dofs.view(COUNT, 12, 2)[:, :, 0]
    expected = torch.stack(
        [state.joint_positions[:, robot.JOINT_NAMES.index(n)] for n in JOINTS], -1
    )
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(simulator.joint_positions, state.joint_positions)


def test_quaternion_and_angular_velocity_cross_the_border(
    gym: FakeGym, simulator: IsaacGymSimulator
) -> None:
    state = states()
    simulator.reset(ALL, state)
    simulator.step(state.joint_positions)
    torch.testing.assert_close(gym.roots[:, 3:7], state.base_quaternion[:, [1, 2, 3, 0]])
    assert not torch.allclose(gym.roots[:, 10:13], state.base_angular_velocity_b, atol=0.1)
    torch.testing.assert_close(simulator.base_angular_velocity_b, state.base_angular_velocity_b)
    torch.testing.assert_close(simulator.base_quaternion, state.base_quaternion)
    moved = state.base_position_w + 0.02 * state.base_linear_velocity_w
    torch.testing.assert_close(simulator.base_position_w, moved)


def test_every_robot_stays_at_its_own_place_of_the_grid(
    gym: FakeGym, simulator: IsaacGymSimulator
) -> None:
    state = states()
    state.base_linear_velocity_w.zero_()
    simulator.reset(ALL, state)
    simulator.step(state.joint_positions)
    grid = torch.stack([3.0 * torch.arange(COUNT), torch.zeros(COUNT), torch.zeros(COUNT)], -1)
    torch.testing.assert_close(gym.roots[:, 0:3], state.base_position_w + grid)
    torch.testing.assert_close(simulator.base_position_w, state.base_position_w)
    push = torch.zeros(COUNT, 3)
    push[1, 1] = 0.5
    simulator.push(push)
    simulator.step(state.joint_positions)
    torch.testing.assert_close(
        gym.roots[1, 0:2], state.base_position_w[1, :2] + grid[1, :2] + torch.tensor([0.0, 0.01])
    )


def test_world_angular_velocity_of_a_yawed_robot(
    gym: FakeGym, simulator: IsaacGymSimulator
) -> None:
    state = states()
    half = np.sqrt(0.5)
    state.base_quaternion[:] = torch.tensor([half, 0.0, 0.0, half])  # yaw 90 degrees: body x is y
    state.base_angular_velocity_b[:] = torch.tensor([1.0, 0.0, 0.0])
    simulator.reset(ALL, state)
    simulator.step(state.joint_positions)
    torch.testing.assert_close(gym.roots[0, 10:13], torch.tensor([0.0, 1.0, 0.0]))


def test_reset_and_push_in_one_step_use_each_setter_once(
    gym: FakeGym, simulator: IsaacGymSimulator
) -> None:
    mask = torch.tensor([True, False, False])
    simulator.reset(ALL, states())
    simulator.step(stand(simulator))
    untouched = simulator.base_position_w[2].clone()
    simulator.reset(mask, states())
    simulator.reset(~mask & torch.tensor([True, True, False]), states())
    push = torch.zeros(COUNT, 3)
    push[1:, 1] = 0.5
    before = simulator.base_linear_velocity_w.clone()
    simulator.push(push)
    torch.testing.assert_close(simulator.base_linear_velocity_w, before + push)
    simulator.step(stand(simulator))  # the stand-in refuses a second call of a setter
    torch.testing.assert_close(simulator.base_linear_velocity_w, before + push)
    travelled = simulator.base_position_w[2] - untouched
    torch.testing.assert_close(travelled, 0.02 * (before + push)[2], atol=1e-6, rtol=1e-4)


def test_motors_follow_the_pd_law_up_to_their_limits(
    gym: FakeGym, simulator: IsaacGymSimulator
) -> None:
    state = states()
    state.joint_positions[:] = stand(simulator)
    simulator.reset(ALL, state)
    target = stand(simulator)
    target[0] += 10.0
    target[1] += 0.001
    simulator.step(target)
    limits = torch.tensor(robot.TORQUE_LIMITS.copy(), dtype=torch.float32)
    torch.testing.assert_close(simulator.joint_torques[0], limits)
    assert torch.all(simulator.joint_torques[1] < 60.0 * 0.001)
    assert torch.all(simulator.joint_torques[1] > 0.0)
    assert torch.all(simulator.joint_torques[2].abs() < 1e-3)
    assert gym.calls.count("simulate") == SimulationConfig().decimation


def test_late_commands_hold_the_old_target(gym: FakeGym, simulator: IsaacGymSimulator) -> None:
    parameters = nominal_parameters(COUNT, torch.device("cpu"))
    parameters.action_delay_steps[:] = torch.tensor([0, 2, 4])
    simulator.set_parameters(parameters)
    state = states()
    state.joint_positions[:] = stand(simulator)
    simulator.reset(ALL, state)
    simulator.step(stand(simulator) + 0.05)
    moved = (simulator.joint_positions - stand(simulator)).mean(-1)
    assert moved[0] > moved[1] > 1e-4
    assert abs(float(moved[2])) < 1e-6


def test_forces_are_taken_from_the_named_bodies(gym: FakeGym, simulator: IsaacGymSimulator) -> None:
    simulator.reset(ALL, states())
    simulator.step(stand(simulator))
    contacts = gym.contacts.view(COUNT, len(BODIES), 3)
    for leg, name in enumerate(robot.FOOT_NAMES):
        torch.testing.assert_close(
            simulator.foot_forces[:, leg], contacts[:, BODIES.index(name), 2]
        )
    torch.testing.assert_close(simulator.trunk_force, contacts[:, 0].norm(dim=-1))


def test_parameters_reach_the_robots_as_they_are_created(
    gym: FakeGym, simulator: IsaacGymSimulator
) -> None:
    parameters = nominal_parameters(COUNT, torch.device("cpu"))
    parameters.trunk_mass_offset[:] = torch.tensor([0.0, 1.5, -1.0])
    parameters.trunk_com_offset[1] = torch.tensor([0.02, 0.01, 0.0])
    parameters.foot_friction[:] = torch.tensor([0.4, 0.8, 1.25])
    simulator.set_parameters(parameters)
    assert [actor["bodies"][0].mass for actor in gym.actors] == pytest.approx([12.0, 13.5, 11.0])
    assert gym.actors[1]["bodies"][0].com.x == pytest.approx(0.03)
    with_ground = [0.5 * (actor["friction"] + 0.5) for actor in gym.actors]
    assert with_ground == pytest.approx([0.4, 0.8, 1.25], abs=0.01)
    armature = gym.actors[0]["joints"]["armature"]
    expected = [robot.ARMATURE[robot.JOINT_NAMES.index(name)] for name in JOINTS]
    np.testing.assert_allclose(armature, expected, rtol=1e-6)
    assert [actor["group"] for actor in gym.actors] == [0, 1, 2]
    assert {actor["filter"] for actor in gym.actors} == {1}


def test_masses_cannot_change_later_but_friction_can(
    gym: FakeGym, simulator: IsaacGymSimulator
) -> None:
    simulator.set_parameters(nominal_parameters(COUNT, torch.device("cpu")))
    rough = nominal_parameters(COUNT, torch.device("cpu"), friction=1.5)
    simulator.set_parameters(rough)
    assert gym.actors[0]["friction"] == pytest.approx(2.5)
    heavy = nominal_parameters(COUNT, torch.device("cpu"))
    heavy.trunk_mass_offset += 1.0
    with pytest.raises(ValueError, match="trunk_mass_offset only before the first step"):
        simulator.set_parameters(heavy)


def test_headless_has_no_graphics_and_close_frees(
    gym: FakeGym, simulator: IsaacGymSimulator
) -> None:
    simulator.step(stand(simulator))
    assert gym.graphics == -1
    assert "create_viewer" not in gym.calls
    simulator.close()
    simulator.close()
    assert gym.calls.count("destroy_sim") == 1


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--task", "aliengo_amp", "--sim", "isaacgym"], True),
        (["--sim=isaacgym"], True),
        (["--sim", "mujoco", "--task", "isaacgym"], False),
    ],
)
def test_scripts_import_it_first_when_asked(
    arguments: List[str], wanted: bool, gym: FakeGym, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported: List[str] = []
    real = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", lambda n: imported.append(n) or real(n))
    before_torch(arguments)
    assert ("isaacgym.gymapi" in imported) == wanted


def test_without_isaac_gym_the_error_says_what_to_do() -> None:
    if "isaacgym" in sys.modules:
        pytest.skip("Isaac Gym is installed")
    with pytest.raises(IsaacGymMissingError, match=r"docs/isaac_gym\.md, or use --sim mujoco_warp"):
        IsaacGymSimulator(1, "cpu")
    assert "torch" in sys.modules
