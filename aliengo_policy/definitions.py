"""Message definitions as text (`ros2msg`), made from message classes and parsed back.

A bag carries the definition of every message in it, so that it can be read on a machine that
never heard of the package, and by a later version of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

__all__ = [
    "PRIMITIVES",
    "DefinitionError",
    "Field",
    "class_name",
    "definition_text",
    "parse_definition",
]

SEPARATOR = "=" * 80
PRIMITIVES: dict[str, str] = {
    "bool": "?",
    "byte": "B",
    "char": "B",
    "int8": "b",
    "uint8": "B",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float32": "f",
    "float64": "d",
}
"""`struct` code of each type of fixed size."""

_IDL_NAMES = {"boolean": "bool", "octet": "byte", "float": "float32", "double": "float64"}
_SEQUENCE = re.compile(r"sequence<(?P<item>.+?)(?:, (?P<bound>\d+))?>$")
_ARRAY = re.compile(r"(?P<item>.+)\[(?P<size>\d+)\]$")
_FIELD = re.compile(
    r"(?P<type>[\w/]+)(?:<=\d+)?(?P<array>\[(?:<=)?(?P<size>\d*)\])?\s+(?P<name>\w+)(?P<rest>.*)$"
)


class DefinitionError(ValueError):
    """A definition cannot be understood; the message names the type and the line."""


@dataclass(frozen=True)
class Field:
    """One field of a message.

    Attributes:
        name: Name of the field.
        type: A key of `PRIMITIVES`, `string`, or `package/Message`.
        size: None for a single value, -1 for a sequence, else the length of the array.
    """

    name: str
    type: str
    size: int | None = None


def definition_text(message_type: Any) -> str:
    """Writes the definition of a message class and of all that it contains.

    Constants and comments are not part of the class and therefore not of the text.

    Args:
        message_type: A generated message class, such as `sensor_msgs.msg.Imu`.
    """
    root = class_name(message_type)
    texts: dict[str, list[str]] = {}
    waiting = [(root, message_type)]
    while waiting:
        name, cls = waiting.pop(0)
        if name in texts:
            continue
        lines = texts.setdefault(name, [])
        for field, idl in cls.get_fields_and_field_types().items():
            item, suffix = _split_idl(idl)
            lines.append(f"{item}{suffix} {field}")
            if "/" in item:
                waiting.append((item, _import_message(item)))
    parts = ["\n".join(texts.pop(root))]
    parts += [f"{SEPARATOR}\nMSG: {name}\n" + "\n".join(lines) for name, lines in texts.items()]
    return "\n".join(parts) + "\n"


def parse_definition(type_name: str, text: str) -> dict[str, tuple[Field, ...]]:
    """Parses a definition text.

    Args:
        type_name: Type of the first message in the text, as `package/msg/Name`.
        text: The text, as embedded in a bag.

    Returns:
        The fields of every message type; the root stands under `package/Name`.

    Raises:
        DefinitionError: If a line cannot be understood or a type is not defined.
    """
    root = short_name(type_name)
    types: dict[str, tuple[Field, ...]] = {}
    for index, part in enumerate(re.split(r"^={80}\s*$", text, flags=re.MULTILINE)):
        name, body = root, part
        if index > 0:
            head, _, body = part.lstrip().partition("\n")
            name = short_name(head.removeprefix("MSG:").strip())
        types[name] = _parse_fields(name, body)
    for name, fields in types.items():
        for field in fields:
            if field.type not in PRIMITIVES and field.type != "string" and field.type not in types:
                raise DefinitionError(
                    f"{name}.{field.name} has type {field.type!r}, which the bag does not define; "
                    f"defined are {sorted(types)}"
                )
    return types


def short_name(type_name: str) -> str:
    """`package/msg/Name` as `package/Name`."""
    return type_name.replace("/msg/", "/")


def _parse_fields(message: str, body: str) -> tuple[Field, ...]:
    package = message.split("/")[0]
    fields = []
    for raw in body.splitlines():
        line = raw.split("#")[0].strip()
        if not line:
            continue
        match = _FIELD.match(line)
        if match is None:
            raise DefinitionError(f"cannot understand {raw!r} in the definition of {message}")
        if match["rest"].lstrip().startswith("="):
            continue  # A constant takes no room in a message.
        fields.append(Field(match["name"], _resolve(match["type"], package), _array_size(match)))
    return tuple(fields)


def _array_size(match: re.Match[str]) -> int | None:
    if match["array"] is None:
        return None
    bounded = match["array"].startswith("[<=")
    return int(match["size"]) if match["size"] and not bounded else -1


def _resolve(name: str, package: str) -> str:
    if name in PRIMITIVES or name == "string":
        return name
    if name in ("time", "duration"):
        return f"builtin_interfaces/{name.capitalize()}"
    name = "std_msgs/Header" if name == "Header" else short_name(name)
    return name if "/" in name else f"{package}/{name}"


def _split_idl(idl: str) -> tuple[str, str]:
    suffix = ""
    if match := _SEQUENCE.match(idl):
        idl, suffix = match["item"], f"[<={match['bound']}]" if match["bound"] else "[]"
    elif match := _ARRAY.match(idl):
        idl, suffix = match["item"], f"[{match['size']}]"
    if idl.startswith("string"):
        return "string", suffix
    return _IDL_NAMES.get(idl, idl), suffix


def class_name(message_type: Any) -> str:
    """Name of a message class as `package/Name`."""
    return f"{message_type.__module__.split('.')[0]}/{message_type.__name__}"


def _import_message(name: str) -> Any:
    package, message = name.split("/")
    return getattr(__import__(f"{package}.msg", fromlist=[message]), message)
