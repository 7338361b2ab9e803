"""What every physics backend must do, whatever engine is behind it.

By default the backends that can run on this machine are tested; `--sim isaacgym` (and `--sim_device`)
picks one. All tests share one simulation, since Isaac Gym does not stand a second one in a process,
and its parameters are set once, before the first step, since masses cannot change later.
"""

import importlib.util
import math
from typing import Any, Iterator, List, Optional

import numpy as np
import pytest
import torch

from aliengo_description import robot
from aliengo_training.isaac_import import import_isaac_gym
from aliengo_training.sim import make_simulator
from aliengo_training.sim.simulator import RobotState, Simulator, nominal_parameters

NOMINAL, HEAVY, LIMP, LATE, SLIPPERY, WEAK = range(6)
COUNT = 6
EXTRA_MASS = 4.0
GRAVITY = 9.81


def backends(sim: Optional[str]) -> List[str]:
    if sim is not None:
        return [sim]
    found = ["mujoco"]
    if torch.cuda.is_available() and importlib.util.find_spec("mujoco_warp"):
        found.append("mujoco_warp")
    return found


def pytest_generate_tests(metafunc: Any) -> None:
    names = backends(metafunc.config.getoption("--sim", None))
    metafunc.parametrize("sim", names, indirect=True, scope="module")


@pytest.fixture(scope="module")
def sim(request: Any) -> Iterator[Simulator]:
    name = request.param
    if name == "isaacgym":
        import_isaac_gym()
    default = "cuda:0" if torch.cuda.is_available() and name != "mujoco" else "cpu"
    device = request.config.getoption("--sim_device", None) or default
    simulator = make_simulator(name, COUNT, device)
    parameters = nominal_parameters(COUNT, simulator.device)
    parameters.trunk_mass_offset[HEAVY] = EXTRA_MASS
    parameters.kp[LIMP] = 0.0
    parameters.action_delay_steps[LATE] = simulator.config.decimation
    parameters.foot_friction[SLIPPERY] = 0.3
    parameters.motor_strength[WEAK] = 0.5
    simulator.set_parameters(parameters)
    yield simulator
    simulator.close()


def rows(values: Any, device: torch.device) -> torch.Tensor:
    return (
        torch.as_tensor(np.array(values), dtype=torch.float32, device=device)
        .expand(COUNT, -1)
        .clone()
    )


def state(sim: Simulator, height: float) -> RobotState:
    """The robot in its default pose, level and at rest."""
    device = sim.device
    return RobotState(
        base_position_w=rows([0.0, 0.0, height], device),
        base_quaternion=rows([1.0, 0.0, 0.0, 0.0], device),
        base_linear_velocity_w=rows([0.0] * 3, device),
        base_angular_velocity_b=rows([0.0] * 3, device),
        joint_positions=rows(robot.DEFAULT_JOINT_POSITIONS, device),
        joint_velocities=rows([0.0] * 12, device),
    )


def everywhere(sim: Simulator) -> torch.Tensor:
    return torch.ones(COUNT, dtype=torch.bool, device=sim.device)


def stand(sim: Simulator, seconds: float = 2.0) -> None:
    """Put all robots on their feet and let them come to rest."""
    start = state(sim, robot.stand_height() + 0.005)
    sim.reset(everywhere(sim), start)
    for _ in range(round(seconds / sim.config.control_period_s)):
        sim.step(start.joint_positions)


def test_tensors_have_their_shapes_and_stay_where_they_are(sim: Simulator) -> None:
    shapes = {
        "base_position_w": (COUNT, 3),
        "base_quaternion": (COUNT, 4),
        "base_linear_velocity_w": (COUNT, 3),
        "base_angular_velocity_b": (COUNT, 3),
        "joint_positions": (COUNT, 12),
        "joint_velocities": (COUNT, 12),
        "joint_torques": (COUNT, 12),
        "foot_forces": (COUNT, 4),
        "trunk_force": (COUNT,),
    }
    before = {name: getattr(sim, name).data_ptr() for name in shapes}
    sim.reset(everywhere(sim), state(sim, 1.0))
    sim.step(state(sim, 1.0).joint_positions)
    for name, shape in shapes.items():
        tensor = getattr(sim, name)
        assert tuple(tensor.shape) == shape, name
        assert tensor.dtype == torch.float32, name
        assert tensor.data_ptr() == before[name], (
            f"{name} moved: references of tasks would go stale"
        )


def test_reset_touches_only_the_masked_robots(sim: Simulator) -> None:
    stand(sim, 0.1)
    before = sim.base_position_w.clone()
    mask = everywhere(sim)
    mask[1:] = False
    new = state(sim, 1.5)
    new.base_position_w[:, 0] = 0.7
    new.joint_positions += 0.1
    sim.reset(mask, new)
    torch.testing.assert_close(sim.base_position_w[0], new.base_position_w[0])
    torch.testing.assert_close(sim.joint_positions[0], new.joint_positions[0])
    torch.testing.assert_close(sim.base_position_w[1:], before[1:])


def test_free_fall_obeys_gravity_without_contacts(sim: Simulator) -> None:
    start = state(sim, 3.0)
    sim.reset(everywhere(sim), start)
    steps = 10
    for _ in range(steps):
        sim.step(start.joint_positions)
    elapsed = steps * sim.config.control_period_s
    speed = sim.base_linear_velocity_w[[NOMINAL, HEAVY]]
    torch.testing.assert_close(
        speed[:, 2], torch.full_like(speed[:, 2], -GRAVITY * elapsed), atol=0.05, rtol=0
    )
    fallen = 3.0 - sim.base_position_w[NOMINAL, 2]
    assert float(fallen) == pytest.approx(0.5 * GRAVITY * elapsed**2, rel=0.1)
    assert float(sim.foot_forces.abs().max()) == 0.0
    assert float(sim.trunk_force.abs().max()) == 0.0


def test_velocities_are_in_their_frames(sim: Simulator) -> None:
    half = math.sqrt(0.5)
    start = state(sim, 3.0)
    start.base_quaternion[:] = torch.tensor([half, 0.0, 0.0, half])  # yawed by 90 degrees
    start.base_linear_velocity_w[:] = torch.tensor([1.0, 0.0, 0.0])
    start.base_angular_velocity_b[:] = torch.tensor([1.5, 0.0, 0.0])  # about the body's x
    sim.reset(everywhere(sim), start)
    steps = 5
    for _ in range(steps):
        sim.step(start.joint_positions)
    elapsed = steps * sim.config.control_period_s
    assert float(sim.base_position_w[NOMINAL, 0]) == pytest.approx(elapsed, abs=0.02)
    assert abs(float(sim.base_position_w[NOMINAL, 1])) < 0.02
    # Turning about the body's x, which points along the world's y, tips the body's z towards x.
    w, x, y, z = sim.base_quaternion[NOMINAL].tolist()
    up_x = 2.0 * (x * z + w * y)
    assert up_x == pytest.approx(math.sin(1.5 * elapsed), abs=0.05)
    assert float(sim.base_angular_velocity_b[NOMINAL, 0]) == pytest.approx(1.5, abs=0.3)
    torch.testing.assert_close(
        sim.base_quaternion.norm(dim=-1), torch.ones(COUNT, device=sim.device), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("joint", range(12))
def test_each_target_moves_its_own_joint(sim: Simulator, joint: int) -> None:
    start = state(sim, 3.0)
    sim.reset(everywhere(sim), start)
    targets = start.joint_positions.clone()
    targets[:, joint] += 0.2
    for _ in range(8):
        sim.step(targets)
    moved = (sim.joint_positions - start.joint_positions)[NOMINAL]
    assert int(moved.argmax()) == joint
    assert float(moved[joint]) == pytest.approx(0.2, abs=0.1)


def test_standing_robots_bear_their_weight(sim: Simulator) -> None:
    stand(sim)
    assert float(sim.base_position_w[NOMINAL, 2]) == pytest.approx(robot.stand_height(), abs=0.12)
    assert float(sim.base_quaternion[NOMINAL, 0].abs()) > math.cos(0.25)
    forces = []
    for _ in range(10):
        sim.step(state(sim, 1.0).joint_positions)
        forces.append(sim.foot_forces.sum(-1).clone())
    mean = torch.stack(forces).mean(0)
    assert float(mean[NOMINAL]) == pytest.approx(robot.TOTAL_MASS * GRAVITY, rel=0.08)
    heavier = float(mean[HEAVY] - mean[NOMINAL])
    assert heavier == pytest.approx(EXTRA_MASS * GRAVITY, rel=0.35)
    assert float(sim.trunk_force[NOMINAL]) == 0.0


def test_motors_without_gain_let_the_robot_down(sim: Simulator) -> None:
    stand(sim)
    assert float(sim.base_position_w[LIMP, 2]) < 0.6 * float(sim.base_position_w[NOMINAL, 2])
    assert float(sim.base_position_w[WEAK, 2]) < float(sim.base_position_w[NOMINAL, 2])


def test_torques_stay_within_the_motors_limits(sim: Simulator) -> None:
    start = state(sim, 3.0)
    sim.reset(everywhere(sim), start)
    limits = rows(robot.TORQUE_LIMITS, sim.device)
    sim.step(start.joint_positions + 3.0)
    assert torch.all(sim.joint_torques.abs() <= limits * (1.0 + 1e-4))
    assert torch.all(sim.joint_torques[NOMINAL] > 0.5 * limits[NOMINAL])


def test_late_commands_arrive_late(sim: Simulator) -> None:
    start = state(sim, 3.0)
    sim.reset(everywhere(sim), start)
    sim.step(start.joint_positions)
    held = sim.joint_positions.clone()
    sim.step(start.joint_positions + 0.3)
    moved = (sim.joint_positions - held).abs().mean(-1)
    assert float(moved[LATE]) < 0.2 * float(moved[NOMINAL])
    sim.step(start.joint_positions + 0.3)
    assert float((sim.joint_positions - held).abs().mean(-1)[LATE]) > float(moved[LATE]) * 2.0


def test_push_changes_the_velocity_at_once(sim: Simulator) -> None:
    stand(sim, 1.0)
    before = sim.base_linear_velocity_w.clone()
    change = torch.zeros(COUNT, 3, device=sim.device)
    change[NOMINAL, 1] = 0.6
    sim.push(change)
    torch.testing.assert_close(sim.base_linear_velocity_w, before + change)
    position = sim.base_position_w[NOMINAL, 1].clone()
    sim.step(state(sim, 1.0).joint_positions)
    assert float(sim.base_position_w[NOMINAL, 1] - position) > 0.005


def test_a_robot_whose_physics_diverged_can_be_told_and_comes_back_by_a_reset(
    sim: Simulator,
) -> None:
    stand(sim, 0.1)
    kick = torch.zeros(COUNT, 3, device=sim.device)
    kick[NOMINAL, 0] = 1e30
    sim.push(kick)
    sim.step(state(sim, 1.0).joint_positions)
    speeds = sim.base_linear_velocity_w
    beyond = ~torch.isfinite(speeds).all(-1) | (speeds.abs().amax(-1) > 1e6)
    assert torch.nonzero(beyond).flatten().tolist() == [NOMINAL]
    sim.reset(everywhere(sim), state(sim, 0.5))
    sim.step(state(sim, 1.0).joint_positions)
    assert torch.isfinite(sim.base_linear_velocity_w).all()


def test_slippery_feet_slide_further(sim: Simulator) -> None:
    stand(sim, 1.0)
    start = sim.base_position_w[:, 0].clone()
    change = torch.zeros(COUNT, 3, device=sim.device)
    change[:, 0] = 0.8
    sim.push(change)
    for _ in range(50):
        sim.step(state(sim, 1.0).joint_positions)
    slid = sim.base_position_w[:, 0] - start
    assert float(slid[SLIPPERY]) > float(slid[NOMINAL]) + 0.02


def test_targets_of_another_shape_are_refused(sim: Simulator) -> None:
    with pytest.raises(ValueError, match=r"joint_targets has shape \(6, 11\), expected \(6, 12\)"):
        sim.step(torch.zeros(COUNT, 11, device=sim.device))
