"""The committed URDF and MJCF: written by the generator, equal to each other and to robot.py, fit
for MuJoCo."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from aliengo_description import generate, robot

mujoco = pytest.importorskip("mujoco")


@pytest.fixture(scope="module")
def mjcf():
    return mujoco.MjModel.from_xml_path(str(robot.mjcf_path()))


@pytest.fixture(scope="module")
def urdf():
    return mujoco.MjModel.from_xml_path(str(robot.urdf_path()))


def spatial_inertia(model, root: int) -> dict[str, np.ndarray]:
    """Mass, first and second moments of a body and what is welded to it, in the body's frame."""
    mass, first, second = 0.0, np.zeros(3), np.zeros((3, 3))
    for body in range(model.nbody):
        offset, ancestor = np.zeros(3), body
        while ancestor != root and ancestor and model.body_jntnum[ancestor] == 0:
            offset, ancestor = offset + model.body_pos[ancestor], model.body_parentid[ancestor]
        if ancestor != root:
            continue
        rotation = np.zeros(9)
        mujoco.mju_quat2Mat(rotation, model.body_iquat[body])
        rotation = rotation.reshape(3, 3)
        com = offset + model.body_ipos[body]
        own = rotation @ np.diag(model.body_inertia[body]) @ rotation.T
        m = model.body_mass[body]
        mass, first = mass + m, first + m * com
        second = second + own + m * (com @ com * np.eye(3) - np.outer(com, com))
    return {"mass": np.array(mass), "first": first, "second": second}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (robot.urdf_path(), generate.urdf_text),
        (robot.mjcf_path(), generate.mjcf_text),
        (robot.mjcf_path(scene=True), generate.scene_text),
    ],
    ids=["urdf", "mjcf", "scene"],
)
def test_the_committed_file_is_what_the_generator_writes(path, text) -> None:
    assert path.read_text(encoding="utf-8") == text(), "run: python -m aliengo_description.generate"


def test_mjcf_joints_and_motors_are_in_policy_order(mjcf) -> None:
    joints = [mjcf.joint(index).name for index in range(mjcf.njnt)]
    assert joints == ["root", *robot.JOINT_NAMES]
    assert tuple(mjcf.actuator(index).name for index in range(mjcf.nu)) == robot.JOINT_NAMES
    np.testing.assert_array_equal(mjcf.actuator_trnid[:, 0], np.arange(1, 13))


def test_mjcf_carries_the_limits_and_joint_parameters(mjcf) -> None:
    np.testing.assert_allclose(
        mjcf.jnt_range[1:], np.stack([robot.JOINT_LOWER, robot.JOINT_UPPER], axis=1)
    )
    np.testing.assert_allclose(mjcf.actuator_forcerange[:, 1], robot.TORQUE_LIMITS)
    np.testing.assert_allclose(mjcf.actuator_forcerange[:, 0], -robot.TORQUE_LIMITS)
    for ours, theirs in (
        (robot.ARMATURE, mjcf.dof_armature),
        (robot.FRICTIONLOSS, mjcf.dof_frictionloss),
        (robot.DAMPING, mjcf.dof_damping),
    ):
        np.testing.assert_allclose(theirs[6:], ours, rtol=1e-8)
        np.testing.assert_array_equal(theirs[:6], 0.0)


def test_urdf_carries_the_limits() -> None:
    root = ET.parse(robot.urdf_path()).getroot()
    joints = {
        joint.get("name"): joint for joint in root.iter("joint") if joint.get("type") == "revolute"
    }
    assert set(joints) == set(robot.JOINT_NAMES)
    for index, name in enumerate(robot.JOINT_NAMES):
        limit = joints[name].find("limit").attrib
        expected = (
            robot.JOINT_LOWER,
            robot.JOINT_UPPER,
            robot.TORQUE_LIMITS,
            robot.VELOCITY_LIMITS,
        )
        for key, values in zip(("lower", "upper", "effort", "velocity"), expected):
            assert float(limit[key]) == pytest.approx(values[index], rel=1e-8), (name, key)


def test_urdf_and_mjcf_have_the_same_bodies(mjcf, urdf) -> None:
    bodies = ["trunk", *(f"{leg}_{kind}" for leg in robot.LEG_NAMES for kind in robot.JOINT_KINDS)]
    assert mjcf.nbody == len(bodies) + 1
    for name in bodies:
        ours, theirs = (spatial_inertia(model, model.body(name).id) for model in (mjcf, urdf))
        for key in ours:
            np.testing.assert_allclose(ours[key], theirs[key], atol=1e-7, err_msg=f"{name} {key}")
    assert mjcf.body_mass.sum() == pytest.approx(robot.TOTAL_MASS)
    assert urdf.body_mass.sum() == pytest.approx(robot.TOTAL_MASS)


def test_feet_are_at_the_same_place_in_urdf_mjcf_and_robot_py(mjcf, urdf) -> None:
    rng = np.random.default_rng(1)
    data, other = mujoco.MjData(mjcf), mujoco.MjData(urdf)
    data.qpos[:7] = [0, 0, 0, 1, 0, 0, 0]
    addresses = [urdf.joint(name).qposadr[0] for name in robot.JOINT_NAMES]
    for joints in rng.uniform(robot.JOINT_LOWER, robot.JOINT_UPPER, size=(50, 12)):
        data.qpos[7:], other.qpos[addresses] = joints, joints
        mujoco.mj_kinematics(mjcf, data)
        mujoco.mj_kinematics(urdf, other)
        expected = robot.foot_positions(joints)
        for leg, foot in enumerate(robot.FOOT_NAMES):
            np.testing.assert_allclose(data.site(foot).xpos, expected[leg], atol=1e-8)
            np.testing.assert_allclose(other.body(foot).xpos, expected[leg], atol=1e-8)


def test_only_collision_shapes_touch_and_only_the_floor() -> None:
    model = mujoco.MjModel.from_xml_path(str(robot.mjcf_path(scene=True)))
    solid = {
        model.geom(index).name
        for index in range(model.ngeom)
        if model.geom_contype[index] or model.geom_conaffinity[index]
    }
    parts = [
        f"{leg}_{part}_collision"
        for leg in robot.LEG_NAMES
        for part in ("hip", "thigh", "calf", "foot")
    ]
    assert solid == {"floor", "trunk_collision", *parts}
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("lying").id)
    data.qpos[2] -= 0.06
    mujoco.mj_forward(model, data)
    assert data.ncon > 0
    floor = model.geom("floor").id
    assert (data.contact.geom == floor).sum(axis=1).tolist() == [1] * data.ncon


@pytest.mark.parametrize("pose", ["stand", "lying"])
def test_keyframes_touch_the_ground_and_no_more(pose: str) -> None:
    model = mujoco.MjModel.from_xml_path(str(robot.mjcf_path(scene=True)))
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key(pose).id)
    mujoco.mj_forward(model, data)
    heights = [data.site(foot).xpos[2] for foot in robot.FOOT_NAMES]
    assert min(heights) == pytest.approx(robot.FOOT_RADIUS, abs=1e-7)
    assert all(distance > -1e-6 for distance in data.contact.dist)


def test_foot_touch_sensors_carry_the_weight() -> None:
    model = mujoco.MjModel.from_xml_path(str(robot.mjcf_path(scene=True)))
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("stand").id)
    joints = slice(7, 19)
    for _ in range(1000):
        error = robot.STAND_JOINT_POSITIONS - data.qpos[joints]
        data.ctrl[:] = 200.0 * error - 5.0 * data.qvel[6:]
        mujoco.mj_step(model, data)
    forces = [data.sensor(f"{foot}_touch").data[0] for foot in robot.FOOT_NAMES]
    assert sum(forces) == pytest.approx(9.81 * robot.TOTAL_MASS, rel=0.02)


def test_models_have_no_meshes(mjcf, urdf) -> None:
    assert mjcf.nmesh == 0
    assert urdf.nmesh == 0
