"""Creation of the Isaac Gym simulation and of the robots in it."""

from __future__ import annotations

import dataclasses
from typing import Any, List

import torch
from torch import Tensor

from aliengo_description import robot
from aliengo_training.sim.simulator import PhysicsParameters, SimulationConfig

__all__ = ["Robot", "create_robots", "create_sim", "load_asset", "set_friction"]

#: PhysX averages the friction of two bodies: a robot gets twice the wanted one less the ground's.
GROUND_FRICTION = 0.5
#: PhysX holds 64,000 materials; friction is rounded to this many values.
_FRICTION_BUCKETS = 64
#: Distance between robots [m]; they do not collide with each other wherever they stand.
_SPACING = 1.0
_SPAWN_HEIGHT = 0.42
#: Contact pairs that the GPU has room for; legged_gym's figures.
_CONTACT_PAIRS, _CONTACT_PAIRS_MANY, _MANY = 2**23, 2**24, 8000


@dataclasses.dataclass(frozen=True)
class Robot:
    """Isaac Gym's handles of one robot; ``index`` counts actors over the whole simulation."""

    env: Any
    actor: Any
    index: int


def create_sim(
    gym: Any,
    gymapi: Any,
    config: SimulationConfig,
    num_envs: int,
    device: torch.device,
    headless: bool,
) -> Any:
    """Create the simulation with its ground.

    Raises:
        ValueError: If Isaac Gym cannot, e.g. on a GPU that it does not support.
    """
    on_gpu = device.type == "cuda"
    params = gymapi.SimParams()
    params.dt = config.timestep_s
    params.substeps = 1
    params.up_axis = gymapi.UP_AXIS_Z
    params.gravity = gymapi.Vec3(0.0, 0.0, -9.81)
    params.use_gpu_pipeline = on_gpu
    physx = params.physx
    physx.use_gpu = on_gpu
    physx.solver_type = 1
    physx.num_position_iterations = 4
    physx.num_velocity_iterations = 0
    physx.contact_offset = 0.01
    physx.rest_offset = 0.0
    physx.bounce_threshold_velocity = 0.5
    physx.max_depenetration_velocity = 1.0
    physx.max_gpu_contact_pairs = _CONTACT_PAIRS if num_envs < _MANY else _CONTACT_PAIRS_MANY
    physx.default_buffer_size_multiplier = 5.0
    physx.contact_collection = gymapi.CC_LAST_SUBSTEP
    compute = (device.index or 0) if on_gpu else 0
    sim = gym.create_sim(compute, -1 if headless else compute, gymapi.SIM_PHYSX, params)
    if sim is None:
        raise ValueError(
            f"Isaac Gym could not create a simulation on {device}; docs/isaac_gym.md lists GPUs and "
            "drivers that are known to fail"
        )
    plane = gymapi.PlaneParams()
    plane.normal = gymapi.Vec3(0.0, 0.0, 1.0)
    plane.static_friction = GROUND_FRICTION
    plane.dynamic_friction = GROUND_FRICTION
    plane.restitution = 0.0
    gym.add_ground(sim, plane)
    return sim


def load_asset(gym: Any, gymapi: Any, sim: Any) -> Any:
    """Load the URDF, driven by torques that we compute."""
    options = gymapi.AssetOptions()
    options.default_dof_drive_mode = gymapi.DOF_MODE_EFFORT
    options.collapse_fixed_joints = True
    options.fix_base_link = False
    options.angular_damping = 0.0
    options.linear_damping = 0.0
    options.max_angular_velocity = 1000.0
    options.max_linear_velocity = 1000.0
    options.armature = 0.0
    options.use_physx_armature = True
    options.thickness = 0.01
    options.disable_gravity = False
    path = robot.urdf_path()
    asset = gym.load_asset(sim, str(path.parent), path.name, options)
    if asset is None:
        raise ValueError(f"Isaac Gym could not load {path}")
    return asset


def create_robots(
    gym: Any, gymapi: Any, sim: Any, asset: Any, parameters: PhysicsParameters, move_com: bool
) -> List[Robot]:
    """Create one environment per row of the parameters, each with a robot in it."""
    host = _on_host(parameters)
    count = len(host.trunk_mass_offset)
    rows = max(1, round(count**0.5))
    corner = gymapi.Vec3(_SPACING, _SPACING, _SPACING)
    pose = gymapi.Transform()
    pose.p = gymapi.Vec3(0.0, 0.0, _SPAWN_HEIGHT)
    robots = []
    for number in range(count):
        env = gym.create_env(sim, gymapi.Vec3(0.0, 0.0, 0.0), corner, rows)
        # A group of its own: robots do not collide with each other. Filter 1: nor with themselves.
        actor = gym.create_actor(env, asset, pose, "aliengo", number, 1, 0)
        _set_masses(gym, gymapi, env, actor, host, number, move_com)
        _set_joints(gym, gymapi, asset, env, actor, host, number)
        robots.append(Robot(env, actor, gym.get_actor_index(env, actor, gymapi.DOMAIN_SIM)))
    return robots


def set_friction(gym: Any, robots: List[Robot], wanted: Tensor) -> None:
    """Give every shape of each robot the friction that makes ``wanted`` (N,) with the ground."""
    values = wanted.cpu()
    low = float(values.min())
    bucket = max((float(values.max()) - low) / _FRICTION_BUCKETS, 1e-6)
    for each, value in zip(robots, values.tolist()):
        rounded = low + bucket * round((value - low) / bucket)
        shapes = gym.get_actor_rigid_shape_properties(each.env, each.actor)
        for shape in shapes:
            shape.friction = max(0.0, 2.0 * rounded - GROUND_FRICTION)
        gym.set_actor_rigid_shape_properties(each.env, each.actor, shapes)


def _on_host(parameters: PhysicsParameters) -> PhysicsParameters:
    """Return the parameters on the CPU, to be read number by number."""
    tensors = {
        field.name: getattr(parameters, field.name) for field in dataclasses.fields(parameters)
    }
    return PhysicsParameters(**{name: tensor.cpu() for name, tensor in tensors.items()})


def _set_masses(
    gym: Any,
    gymapi: Any,
    env: Any,
    actor: Any,
    parameters: PhysicsParameters,
    number: int,
    move_com: bool,
) -> None:
    """Add to the trunk's mass, and move its centre of mass where that is possible."""
    properties = gym.get_actor_rigid_body_properties(env, actor)
    trunk = properties[0]
    trunk.mass += float(parameters.trunk_mass_offset[number])
    if move_com:
        x, y, z = (float(value) for value in parameters.trunk_com_offset[number])
        trunk.com = gymapi.Vec3(trunk.com.x + x, trunk.com.y + y, trunk.com.z + z)
    gym.set_actor_rigid_body_properties(env, actor, properties, True)


def _set_joints(
    gym: Any,
    gymapi: Any,
    asset: Any,
    env: Any,
    actor: Any,
    parameters: PhysicsParameters,
    number: int,
) -> None:
    """Set rotor inertia and dry friction; viscous friction is part of the torque that we command."""
    properties = gym.get_asset_dof_properties(asset)
    for index, name in enumerate(gym.get_asset_dof_names(asset)):
        joint = robot.JOINT_NAMES.index(name)
        properties["armature"][index] = float(parameters.joint_armature[number, joint])
        properties["friction"][index] = float(parameters.joint_friction[number, joint])
        properties["driveMode"][index] = gymapi.DOF_MODE_EFFORT
        properties["stiffness"][index] = 0.0
        properties["damping"][index] = 0.0
    gym.set_actor_dof_properties(env, actor, properties)
