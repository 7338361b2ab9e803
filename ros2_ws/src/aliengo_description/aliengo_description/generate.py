"""Write the URDF and the MJCF from the figures: ``python -m aliengo_description.generate``.

The files are committed, so that nobody needs to run this to use them; a test asserts that they are
what this writes. Nothing here is a figure of the robot: those stand in `robot` and `shapes`.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Iterable, Sequence

from aliengo_description import robot
from aliengo_description.inertia import Inertial, merge
from aliengo_description.shapes import COLOURS, Shape, collision_shape, visual_shapes

__all__ = ["main", "mjcf_text", "scene_text", "urdf_text"]

_BANNER = (
    " Written by `python -m aliengo_description.generate`: change robot.py or shapes.py instead. "
)
_SITE_RADIUS = (
    robot.FOOT_RADIUS + 0.002
)  # a touch site must enclose the contact points on the foot's surface


def _text(values: Iterable[float]) -> str:
    return " ".join(f"{float(value) + 0.0:.9g}" for value in values)


def _quaternion(rpy: Sequence[float]) -> tuple[float, float, float, float]:
    """Fixed-axis roll, pitch, yaw to (w, x, y, z)."""
    (cr, sr), (cp, sp), (cy, sy) = ((math.cos(a / 2), math.sin(a / 2)) for a in rpy)
    return (
        cr * cp * cy + sr * sp * sy,
        sr * cp * cy - cr * sp * sy,
        cr * sp * cy + sr * cp * sy,
        cr * cp * sy - sr * sp * cy,
    )


def _serialise(root: ET.Element) -> str:
    """XML text with two-space indentation (`ET.indent` needs Python 3.9)."""

    def indent(element: ET.Element, depth: int) -> None:
        for position, child in enumerate(element):
            indent(child, depth + 1)
            last = position == len(element) - 1
            child.tail = "\n" + "  " * (depth if last else depth + 1)
        if len(element):
            element.text = "\n" + "  " * (depth + 1)

    root.insert(0, ET.Comment(_BANNER))
    indent(root, 0)
    return '<?xml version="1.0"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


# --- URDF -----------------------------------------------------------------------------------------


def _urdf_shape(link: ET.Element, tag: str, shape: Shape) -> None:
    element = ET.SubElement(link, tag)
    ET.SubElement(element, "origin", xyz=_text(shape.position), rpy=_text(shape.rpy))
    geometry = ET.SubElement(element, "geometry")
    if shape.kind == "box":
        ET.SubElement(geometry, "box", size=_text(shape.size))
    elif shape.kind == "cylinder":
        ET.SubElement(
            geometry, "cylinder", radius=_text(shape.size[:1]), length=_text(shape.size[1:])
        )
    else:
        ET.SubElement(geometry, "sphere", radius=_text(shape.size))
    if tag == "visual":
        ET.SubElement(element, "material", name=shape.colour)


def _urdf_link(root: ET.Element, name: str, inertial: Inertial, part: str, leg: int = 0) -> None:
    link = ET.SubElement(root, "link", name=name)
    element = ET.SubElement(link, "inertial")
    ET.SubElement(element, "origin", xyz=_text(inertial.com), rpy="0 0 0")
    ET.SubElement(element, "mass", value=_text([inertial.mass]))
    keys = ("ixx", "ixy", "ixz", "iyy", "iyz", "izz")
    ET.SubElement(
        element, "inertia", {key: _text([value]) for key, value in zip(keys, inertial.moments)}
    )
    for shape in visual_shapes(part, leg):
        _urdf_shape(link, "visual", shape)
    _urdf_shape(link, "collision", collision_shape(part, leg))


def _urdf_joint(
    root: ET.Element, name: str, parent: str, child: str, xyz: Sequence[float], **attributes: str
) -> ET.Element:
    joint = ET.SubElement(root, "joint", {"name": name, "type": "fixed", **attributes})
    ET.SubElement(joint, "parent", link=parent)
    ET.SubElement(joint, "child", link=child)
    ET.SubElement(joint, "origin", xyz=_text(xyz), rpy="0 0 0")
    return joint


def _urdf_motor_joint(
    root: ET.Element, index: int, parent: str, child: str, xyz: Sequence[float]
) -> None:
    joint = _urdf_joint(root, robot.JOINT_NAMES[index], parent, child, xyz, type="revolute")
    ET.SubElement(joint, "axis", xyz="1 0 0" if index % 3 == 0 else "0 1 0")
    ET.SubElement(
        joint,
        "limit",
        lower=_text([robot.JOINT_LOWER[index]]),
        upper=_text([robot.JOINT_UPPER[index]]),
        effort=_text([robot.TORQUE_LIMITS[index]]),
        velocity=_text([robot.VELOCITY_LIMITS[index]]),
    )
    ET.SubElement(
        joint,
        "dynamics",
        damping=_text([robot.DAMPING[index]]),
        friction=_text([robot.FRICTIONLOSS[index]]),
    )


def urdf_text() -> str:
    """Return the URDF: massless `base_link` -> `trunk` -> legs, and `imu_link`."""
    root = ET.Element("robot", name="aliengo")
    # Read by MuJoCo only: it would otherwise merge the trunk into the world and the feet into the
    # calves.
    extension = ET.SubElement(root, "mujoco")
    ET.SubElement(extension, "compiler", fusestatic="false", discardvisual="false")
    for name, colour in COLOURS.items():
        ET.SubElement(ET.SubElement(root, "material", name=name), "color", rgba=_text(colour))
    ET.SubElement(root, "link", name="base_link")
    _urdf_link(root, "trunk", robot.TRUNK_INERTIAL, "trunk")
    _urdf_joint(root, "trunk_joint", "base_link", "trunk", (0.0, 0.0, 0.0))
    ET.SubElement(root, "link", name="imu_link")
    _urdf_joint(root, "imu_joint", "trunk", "imu_link", robot.IMU_POSITION)
    for leg, name in enumerate(robot.LEG_NAMES):
        _urdf_link(root, f"{name}_hip", robot.hip_inertial(leg), "hip", leg)
        _urdf_motor_joint(root, 3 * leg, "trunk", f"{name}_hip", robot.HIP_POSITIONS[leg])
        _urdf_link(root, f"{name}_thigh", robot.thigh_inertial(leg), "thigh", leg)
        across = (0.0, robot.LEG_SIDE[leg] * robot.HIP_OFFSET_Y, 0.0)
        _urdf_motor_joint(root, 3 * leg + 1, f"{name}_hip", f"{name}_thigh", across)
        _urdf_link(root, f"{name}_calf", robot.CALF_INERTIAL, "calf", leg)
        _urdf_motor_joint(
            root, 3 * leg + 2, f"{name}_thigh", f"{name}_calf", (0.0, 0.0, -robot.THIGH_LENGTH)
        )
        _urdf_link(root, f"{name}_foot", robot.FOOT_INERTIAL, "foot", leg)
        # Isaac Gym merges fixed links unless told otherwise; the feet must stay to have contact
        # forces of their own.
        below = (0.0, 0.0, -robot.CALF_LENGTH)
        joint = _urdf_joint(root, f"{name}_foot_joint", f"{name}_calf", f"{name}_foot", below)
        joint.set("dont_collapse", "true")
    return _serialise(root)


# --- MJCF -----------------------------------------------------------------------------------------


def _mjcf_geom(
    body: ET.Element, shape: Shape, offset: Sequence[float] = (0.0, 0.0, 0.0), **attributes: str
) -> None:
    """Add a geom; MuJoCo takes half lengths."""
    sizes = {
        "box": [value / 2 for value in shape.size],
        "cylinder": [shape.size[0], shape.size[-1] / 2],
        "sphere": list(shape.size),
    }
    element = ET.SubElement(
        body, "geom", {"type": shape.kind, "size": _text(sizes[shape.kind]), **attributes}
    )
    position = [a + b for a, b in zip(shape.position, offset)]
    if any(position):
        element.set("pos", _text(position))
    if any(shape.rpy):
        element.set("quat", _text(_quaternion(shape.rpy)))


def _mjcf_body(
    parent: ET.Element, name: str, position: Sequence[float], inertial: Inertial
) -> ET.Element:
    body = ET.SubElement(parent, "body", name=name, pos=_text(position))
    ixx, ixy, ixz, iyy, iyz, izz = inertial.moments
    ET.SubElement(
        body,
        "inertial",
        mass=_text([inertial.mass]),
        pos=_text(inertial.com),
        fullinertia=_text([ixx, iyy, izz, ixy, ixz, iyz]),  # MuJoCo's own order
    )
    return body


def _mjcf_joint(body: ET.Element, index: int) -> None:
    ET.SubElement(
        body,
        "joint",
        name=robot.JOINT_NAMES[index],
        axis="1 0 0" if index % 3 == 0 else "0 1 0",
        range=_text([robot.JOINT_LOWER[index], robot.JOINT_UPPER[index]]),
        armature=_text([robot.ARMATURE[index]]),
        frictionloss=_text([robot.FRICTIONLOSS[index]]),
        damping=_text([robot.DAMPING[index]]),
    )


def _mjcf_shapes(
    body: ET.Element, name: str, part: str, leg: int, offset: Sequence[float] = (0.0, 0.0, 0.0)
) -> None:
    for shape in visual_shapes(part, leg):
        _mjcf_geom(body, shape, offset, **{"class": "visual", "material": shape.colour})
    kind = "foot" if part == "foot" else "collision"
    _mjcf_geom(
        body, collision_shape(part, leg), offset, **{"class": kind, "name": f"{name}_collision"}
    )


def _mjcf_leg(trunk: ET.Element, leg: int) -> None:
    """One leg; the foot is merged into the calf: a body less, the same physics."""
    name = robot.LEG_NAMES[leg]
    below_knee = (0.0, 0.0, -robot.CALF_LENGTH)
    hip = _mjcf_body(trunk, f"{name}_hip", robot.HIP_POSITIONS[leg], robot.hip_inertial(leg))
    _mjcf_joint(hip, 3 * leg)
    _mjcf_shapes(hip, f"{name}_hip", "hip", leg)
    across = (0.0, robot.LEG_SIDE[leg] * robot.HIP_OFFSET_Y, 0.0)
    thigh = _mjcf_body(hip, f"{name}_thigh", across, robot.thigh_inertial(leg))
    _mjcf_joint(thigh, 3 * leg + 1)
    _mjcf_shapes(thigh, f"{name}_thigh", "thigh", leg)
    shank = merge([robot.CALF_INERTIAL, robot.FOOT_INERTIAL.moved(below_knee)])
    calf = _mjcf_body(thigh, f"{name}_calf", (0.0, 0.0, -robot.THIGH_LENGTH), shank)
    _mjcf_joint(calf, 3 * leg + 2)
    _mjcf_shapes(calf, f"{name}_calf", "calf", leg)
    _mjcf_shapes(calf, f"{name}_foot", "foot", leg, below_knee)
    ET.SubElement(calf, "site", {"name": f"{name}_foot", "class": "foot", "pos": _text(below_knee)})


def _mjcf_defaults(root: ET.Element) -> None:
    default = ET.SubElement(ET.SubElement(root, "default"), "default", {"class": "aliengo"})
    ET.SubElement(default, "joint", limited="true")
    # Robot against floor only: a contact needs contype of one and conaffinity of the other.
    visual = ET.SubElement(default, "default", {"class": "visual"})
    ET.SubElement(visual, "geom", group="2", contype="0", conaffinity="0", mass="0")
    collision = ET.SubElement(default, "default", {"class": "collision"})
    ET.SubElement(
        collision,
        "geom",
        group="3",
        contype="0",
        conaffinity="1",
        condim="3",
        mass="0",
        rgba="0.9 0.3 0.2 0.4",
    )
    # MuJoCo takes the larger of two frictions; with priority the foot's own figure holds on every
    # floor.
    foot = ET.SubElement(collision, "default", {"class": "foot"})
    ET.SubElement(foot, "geom", priority="1", friction=_text([robot.FOOT_FRICTION, 0.02, 0.001]))
    ET.SubElement(foot, "site", type="sphere", size=_text([_SITE_RADIUS]), group="4")


def _mjcf_interfaces(root: ET.Element) -> None:
    actuator = ET.SubElement(root, "actuator")
    for name, limit in zip(robot.JOINT_NAMES, robot.TORQUE_LIMITS):
        span = _text([-limit, limit])
        ET.SubElement(actuator, "motor", name=name, joint=name, forcerange=span, ctrlrange=span)
    sensor = ET.SubElement(root, "sensor")
    ET.SubElement(sensor, "gyro", name="imu_gyro", site="imu")
    ET.SubElement(sensor, "accelerometer", name="imu_accelerometer", site="imu")
    ET.SubElement(sensor, "framequat", name="imu_quaternion", objtype="site", objname="imu")
    for name in robot.FOOT_NAMES:
        ET.SubElement(sensor, "touch", name=f"{name}_touch", site=name)
    keyframe = ET.SubElement(root, "keyframe")
    poses = {"stand": robot.STAND_JOINT_POSITIONS, "lying": robot.LYING_JOINT_POSITIONS}
    for name, joints in poses.items():
        qpos = [0.0, 0.0, robot.stand_height(joints), 1.0, 0.0, 0.0, 0.0, *joints]
        ET.SubElement(keyframe, "key", name=name, qpos=_text(qpos))


def mjcf_text() -> str:
    """Return the MJCF of the robot alone, joints and motors in policy order."""
    root = ET.Element("mujoco", model="aliengo")
    ET.SubElement(root, "compiler", angle="radian", autolimits="true")
    ET.SubElement(root, "option", timestep="0.002", integrator="implicitfast")
    _mjcf_defaults(root)
    asset = ET.SubElement(root, "asset")
    for name, colour in COLOURS.items():
        ET.SubElement(
            asset, "material", name=name, rgba=_text(colour), specular="0.4", shininess="0.5"
        )
    world = ET.SubElement(root, "worldbody")
    trunk = _mjcf_body(world, "trunk", (0.0, 0.0, robot.stand_height()), robot.TRUNK_INERTIAL)
    trunk.set("childclass", "aliengo")
    ET.SubElement(trunk, "freejoint", name="root")
    _mjcf_shapes(trunk, "trunk", "trunk", 0)
    ET.SubElement(trunk, "site", name="imu", pos=_text(robot.IMU_POSITION), group="4")
    for leg in range(4):
        _mjcf_leg(trunk, leg)
    _mjcf_interfaces(root)
    return _serialise(root)


def scene_text() -> str:
    """Return the MJCF of a scene: the robot on a chequered floor, sky, light, camera `track`."""
    root = ET.Element("mujoco", model="aliengo_scene")
    ET.SubElement(root, "include", file="aliengo.xml")
    ET.SubElement(root, "statistic", center="0 0 0.3", extent="1.2")
    visual = ET.SubElement(root, "visual")
    ET.SubElement(visual, "headlight", diffuse="0.6 0.6 0.6", ambient="0.35 0.35 0.35")
    ET.SubElement(visual, "rgba", haze="0.85 0.9 0.95 1")
    ET.SubElement(visual, "quality", shadowsize="8192")
    view = {"azimuth": "135", "elevation": "-18", "offwidth": "1280", "offheight": "720"}
    ET.SubElement(visual, "global", view)
    asset = ET.SubElement(root, "asset")
    sky = {"type": "skybox", "builtin": "gradient", "width": "256", "height": "1536"}
    ET.SubElement(asset, "texture", sky, rgb1="0.75 0.84 0.92", rgb2="0.35 0.48 0.62")
    tiles = {"type": "2d", "builtin": "checker", "mark": "edge", "width": "300", "height": "300"}
    colours = {"rgb1": "0.62 0.65 0.68", "rgb2": "0.55 0.58 0.61", "markrgb": "0.8 0.8 0.8"}
    ET.SubElement(asset, "texture", {"name": "floor", **tiles, **colours})
    surface = {"texuniform": "true", "texrepeat": "2 2", "reflectance": "0.03"}
    ET.SubElement(asset, "material", {"name": "floor", "texture": "floor", **surface})
    world = ET.SubElement(root, "worldbody")
    sun = {"pos": "0 0 2.5", "dir": "0.1 0.15 -1", "mode": "trackcom", "diffuse": "0.6 0.6 0.6"}
    ET.SubElement(world, "light", {"name": "sun", **sun})
    side_view = {"pos": "-1.4 -1.6 0.9", "xyaxes": "0.752 -0.659 0 0.235 0.268 0.934"}
    ET.SubElement(world, "camera", {"name": "track", "mode": "trackcom", **side_view})
    plane = {"type": "plane", "size": "0 0 0.05", "contype": "1", "conaffinity": "0"}
    friction = _text([robot.FOOT_FRICTION, 0.02, 0.001])
    ET.SubElement(
        world, "geom", {"name": "floor", "material": "floor", "friction": friction, **plane}
    )
    return _serialise(root)


def main() -> None:
    """Write the three files to where `robot.urdf_path` and `robot.mjcf_path` say."""
    files: dict[Path, str] = {
        robot.urdf_path(): urdf_text(),
        robot.mjcf_path(): mjcf_text(),
        robot.mjcf_path(scene=True): scene_text(),
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
