"""The Aliengo as both MuJoCo backends simulate it: position servos, the feet and the trunk colliding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from aliengo_description import robot
from aliengo_training.sim.simulator import NUM_FEET, SimulationConfig

FORCE_SLOTS = NUM_FEET + 2


@dataclass(frozen=True)
class ModelIndex:
    """Where the Aliengo's parts lie in a compiled model."""

    trunk_body: int
    foot_geoms: np.ndarray
    dofs: np.ndarray
    force_slots: (
        np.ndarray
    )  # (ngeom,) 0..3 a foot, 4 the trunk, 5 another part of the robot, -1 the world


def build_model(config: SimulationConfig) -> Any:
    """Compile the Aliengo on a plane with its motors' PD law as position servos.

    The PD law is `clip(strength * (kp (target - q) - kd dq))`; its damping is integrated implicitly, which is stable at
    5 ms where the explicit law of a 1 kHz motor board would need a smaller step.

    Returns:
        A `mujoco.MjModel` whose actuators 0..11 are in policy order.

    Raises:
        ValueError: If the description's actuator or joint order is not the policy order.
    """
    model = mujoco.MjModel.from_xml_path(str(robot.mjcf_path(scene=True)))
    names = tuple(model.actuator(i).name for i in range(model.nu))
    joints = tuple(model.joint(i).name for i in range(1, model.njnt))
    for kind, found in (("actuators", names), ("joints", joints)):
        if found != tuple(robot.JOINT_NAMES):
            raise ValueError(
                f"MJCF {kind} are {found}, expected the policy order {robot.JOINT_NAMES}"
            )
    model.opt.timestep = config.timestep_s
    model.opt.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    model.opt.cone = mujoco.mjtCone.mjCONE_PYRAMIDAL
    model.opt.solver = mujoco.mjtSolver.mjSOL_NEWTON
    model.opt.iterations = config.solver_iterations
    model.opt.ls_iterations = config.line_search_iterations
    model.actuator_gaintype[:] = mujoco.mjtGain.mjGAIN_FIXED
    model.actuator_biastype[:] = mujoco.mjtBias.mjBIAS_AFFINE
    model.actuator_ctrllimited[:] = 0
    model.actuator_gainprm[:, 0] = robot.KP
    model.actuator_biasprm[:, 1] = -robot.KP
    model.actuator_biasprm[:, 2] = -robot.KD
    model.actuator_forcelimited[:] = 1
    model.actuator_forcerange[:, 0] = -robot.TORQUE_LIMITS
    model.actuator_forcerange[:, 1] = robot.TORQUE_LIMITS
    # Sensors cost time in every physics step; tasks read the state and the contact forces instead.
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_SENSOR
    colliding = {f"{name}_collision" for name in robot.FOOT_NAMES} | {"trunk_collision", "floor"}
    if not config.body_contacts:
        for geom in range(model.ngeom):
            if model.geom(geom).name not in colliding:
                model.geom_contype[geom] = 0
                model.geom_conaffinity[geom] = 0
    return model


def index_model(model: Any) -> ModelIndex:
    """Look up the parts that the backends need, by name."""
    trunk = model.body("trunk").id
    feet = np.array([model.geom(f"{name}_collision").id for name in robot.FOOT_NAMES])
    slots = np.full(model.ngeom, FORCE_SLOTS - 1)
    slots[model.geom_bodyid == trunk] = NUM_FEET
    slots[model.geom_bodyid == 0] = -1
    slots[feet] = np.arange(NUM_FEET)
    return ModelIndex(
        trunk_body=trunk,
        foot_geoms=feet,
        dofs=np.array([model.joint(name).dofadr[0] for name in robot.JOINT_NAMES]),
        force_slots=slots,
    )
