"""The robot's URDF as a tree of links with simple shapes, ready to be drawn."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from aliengo_policy.odometry import multiply_quaternions

__all__ = ["Link", "ModelError", "Shape", "joint_rotation", "read_model"]

Array = npt.NDArray[np.float64]
_NO_ROTATION = "0 0 0"


class ModelError(ValueError):
    """The URDF cannot be drawn; the message names the element."""


@dataclass(frozen=True)
class Shape:
    """One visual of a link: a box (x, y, z), a cylinder (radius, length) or a sphere (radius)."""

    kind: str
    size: tuple[float, ...]
    position: Array
    wxyz: Array
    colour: tuple[int, int, int]


@dataclass(frozen=True)
class Link:
    """A link and the joint that carries it.

    Attributes:
        name: Of the link.
        path: Names of all links from the root to this one, joined by slashes.
        joint: Name of the joint to the parent; empty for the root.
        axis: Axis of that joint; zero if it is fixed.
        position: Of the joint in the parent's frame [m].
        wxyz: Orientation of the joint in the parent's frame.
        shapes: What is to be drawn.
    """

    name: str
    path: str
    joint: str
    axis: Array
    position: Array
    wxyz: Array
    shapes: tuple[Shape, ...]


def read_model(path: Path) -> list[Link]:
    """Reads a URDF; parents come before their children.

    Raises:
        ModelError: If it has no single root, or a shape that cannot be drawn.
    """
    root = ElementTree.parse(path).getroot()
    colours = {
        material.get("name", ""): _colour(element.get("rgba", ""))
        for material in root.findall("material")
        if (element := material.find("color")) is not None
    }
    elements = {link.get("name", ""): link for link in root.findall("link")}
    joints = {_child(joint, "child", "link"): joint for joint in root.findall("joint")}
    roots = [name for name in elements if name not in joints]
    if len(roots) != 1:
        raise ModelError(f"{path}: a robot has one root link, found {roots}")
    links: list[Link] = []
    waiting = [(roots[0], "")]
    while waiting:
        name, parent = waiting.pop(0)
        links.append(_link(name, parent, elements[name], joints.get(name), colours))
        waiting += [
            (child, links[-1].path)
            for child, joint in joints.items()
            if _child(joint, "parent", "link") == name
        ]
    return links


def joint_rotation(link: Link, angle: float) -> Array:
    """Orientation wxyz of a link in its parent's frame at a joint angle [rad]."""
    turn = np.concatenate([[np.cos(angle / 2)], np.sin(angle / 2) * link.axis])
    return multiply_quaternions(link.wxyz, turn)


def _link(
    name: str,
    parent: str,
    element: ElementTree.Element,
    joint: ElementTree.Element | None,
    colours: dict[str, tuple[int, int, int]],
) -> Link:
    position, wxyz, axis, joint_name = np.zeros(3), np.array([1.0, 0, 0, 0]), np.zeros(3), ""
    if joint is not None:
        joint_name = joint.get("name", "")
        position, wxyz = _origin(joint)
        if joint.get("type") != "fixed":
            axis = _vector(_child(joint, "axis", "xyz"))
    shapes = tuple(_shape(name, visual, colours) for visual in element.findall("visual"))
    return Link(name, f"{parent}/{name}", joint_name, axis, position, wxyz, shapes)


def _shape(
    link: str, visual: ElementTree.Element, colours: dict[str, tuple[int, int, int]]
) -> Shape:
    geometry = visual.find("geometry")
    element = None if geometry is None or not len(geometry) else geometry[0]
    kind = "nothing" if element is None else element.tag
    sizes = {"box": ("size",), "cylinder": ("radius", "length"), "sphere": ("radius",)}
    if element is None or kind not in sizes:
        raise ModelError(f"link {link} has a visual {kind}; drawn can be {sorted(sizes)}")
    size = tuple(float(v) for name in sizes[kind] for v in element.get(name, "").split())
    material = visual.find("material")
    colour = colours.get(material.get("name", "") if material is not None else "", (150, 150, 150))
    position, wxyz = _origin(visual)
    return Shape(kind, size, position, wxyz, colour)


def _origin(element: ElementTree.Element) -> tuple[Array, Array]:
    origin = element.find("origin")
    if origin is None:
        return np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0])
    roll, pitch, yaw = 0.5 * _vector(origin.get("rpy", _NO_ROTATION))
    wxyz = np.array([np.cos(yaw), 0.0, 0.0, np.sin(yaw)])
    wxyz = multiply_quaternions(wxyz, np.array([np.cos(pitch), 0.0, np.sin(pitch), 0.0]))
    wxyz = multiply_quaternions(wxyz, np.array([np.cos(roll), np.sin(roll), 0.0, 0.0]))
    return _vector(origin.get("xyz", _NO_ROTATION)), wxyz


def _vector(text: str) -> Array:
    return np.array([float(value) for value in text.split()])


def _colour(rgba: str) -> tuple[int, int, int]:
    red, green, blue = (round(255 * float(value)) for value in rgba.split()[:3])
    return red, green, blue


def _child(element: ElementTree.Element, tag: str, attribute: str) -> str:
    child = element.find(tag)
    return "" if child is None else child.get(attribute, "")
