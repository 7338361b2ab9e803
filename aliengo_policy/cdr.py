"""Reads chosen numbers straight out of a serialised ROS message of fixed size.

At 500 Hz, turning every `low_state` into Python objects would cost more than the policy itself.
The place of each number in the serialised form follows from the message's definition (OMG CDR,
plain encoding: each primitive is aligned to its own size, counted from the end of the 4-byte
header), so it is computed once and then read with one indexed copy.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

_HEADER_SIZE = 4
_PLAIN_LITTLE_ENDIAN = 1  # second byte of the header
_PRIMITIVES = {
    "boolean": "?", "octet": "u1", "uint8": "u1", "int8": "i1", "uint16": "<u2", "int16": "<i2",
    "uint32": "<u4", "int32": "<i4", "uint64": "<u8", "int64": "<i8",
    "float": "<f4", "double": "<f8",
}  # fmt: skip
_ARRAY = re.compile(r"(?P<item>.+)\[(?P<count>\d+)\]$")
_NAMED = re.compile(r"\w+/\w+$")


class LayoutError(ValueError):
    """A message has no fixed layout, or serialised data does not have the expected one."""


class CdrLayout:
    """Byte offsets of every primitive of a message class without strings or sequences.

    Args:
        message_class: a generated message class.

    Raises:
        LayoutError: for a field whose size varies.
    """

    def __init__(self, message_class: Any) -> None:
        self._leaves: dict[str, tuple[np.dtype[Any], list[int]]] = {}
        self.name = message_class.__name__
        self.size = _HEADER_SIZE + self._add_message(message_class, "", 0)

    def offsets(self, path: str) -> tuple[np.dtype[Any], list[int]]:
        """Type and byte offsets, header included, of a leaf such as ``motor_state.q``."""
        if path not in self._leaves:
            raise LayoutError(f"{self.name} has no field {path!r}; it has {sorted(self._leaves)}")
        return self._leaves[path]

    def reader(self, paths: Sequence[tuple[str, int]]) -> CdrReader:
        """Reader of the first ``count`` values of each ``(path, count)``; all of one type.

        Raises:
            LayoutError: for an unknown path, too large a count or a mixture of types.
        """
        starts: list[int] = []
        types = set()
        for path, count in paths:
            kind, offsets = self.offsets(path)
            if count > len(offsets):
                raise LayoutError(f"{self.name}.{path} has {len(offsets)} values, not {count}")
            starts += offsets[:count]
            types.add(kind)
        if len(types) != 1:
            raise LayoutError(
                f"one reader reads one type, not {sorted(str(kind) for kind in types)}"
            )
        return CdrReader(self, np.array(starts), types.pop())

    def _add_message(self, message_class: Any, prefix: str, position: int) -> int:
        for name, kind in message_class.get_fields_and_field_types().items():
            position = self._add_field(prefix + name, kind, position)
        return position

    def _add_field(self, path: str, kind: str, position: int) -> int:
        array = _ARRAY.match(kind)
        item, count = (array["item"], int(array["count"])) if array else (kind, 1)
        if item in _PRIMITIVES:
            dtype = np.dtype(_PRIMITIVES[item])
            position = -(-position // dtype.itemsize) * dtype.itemsize
            _, offsets = self._leaves.setdefault(path, (dtype, []))
            offsets += [_HEADER_SIZE + position + index * dtype.itemsize for index in range(count)]
            return position + count * dtype.itemsize
        if not _NAMED.match(item):
            raise LayoutError(f"field {path} has the type {kind}, whose size varies")
        package, name = item.split("/")
        nested = getattr(importlib.import_module(f"{package}.msg"), name)
        # Elements are laid out one by one: CDR aligns primitives, not structures, so that the
        # padding inside the first element may differ from that in the others.
        for _ in range(count):
            position = self._add_message(nested, f"{path}.", position)
        return position


class CdrReader:
    """Copies values of one type out of serialised messages; see :meth:`CdrLayout.reader`."""

    def __init__(self, layout: CdrLayout, starts: np.ndarray, dtype: np.dtype[Any]) -> None:
        self._name, self._size, self._dtype = layout.name, layout.size, dtype
        self._bytes = (starts[:, None] + np.arange(dtype.itemsize)).ravel()

    def read(self, data: bytes) -> np.ndarray:
        """(n,) values in the order that the reader was made with.

        Raises:
            LayoutError: when the data is not of the message's size or encoding.
        """
        # Serialisers may pad the end to a multiple of 4.
        if not self._size <= len(data) < self._size + 4:
            raise LayoutError(f"{self._name}: expected {self._size} bytes, found {len(data)}")
        if data[1] != _PLAIN_LITTLE_ENDIAN:
            raise LayoutError(
                f"{self._name}: expected plain little-endian CDR, found header {data[:4].hex()}"
            )
        return np.frombuffer(data, np.uint8)[self._bytes].view(self._dtype)
