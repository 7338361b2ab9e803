"""Where the numbers of a serialised ROS message of fixed size stand, and a reader of chosen ones.

At 500 Hz, turning every `low_state` into Python objects would cost more than the policy itself.
The place of each number in the serialised form follows from the message's definition (OMG CDR,
plain encoding: each primitive is aligned to its own size, counted from the end of the 4-byte
header), so it is computed once and then read with one indexed copy.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from aliengo_policy.definitions import (
    PRIMITIVES,
    Field,
    class_name,
    definition_text,
    parse_definition,
)

__all__ = ["HEADER_SIZE", "CdrLayout", "CdrReader", "FixedLayout", "LayoutError", "aligned"]

HEADER_SIZE = 4
"""Bytes of encapsulation header; alignment counts from its end."""
_PLAIN_LITTLE_ENDIAN = 1  # second byte of the header


class LayoutError(ValueError):
    """A message has no fixed layout, or serialised data does not have the expected one."""


def aligned(offset: int, alignment: int) -> int:
    """Return the next multiple of the alignment."""
    return -(-offset // alignment) * alignment


class FixedLayout:
    """Where every number of a message without strings and sequences stands, by field path.

    CDR aligns primitives, not structures, so that equal messages in an array can be laid out
    differently; the offset of each single number is therefore kept.

    Args:
        types: the fields of all message types, as `parse_definition` gives them.
        message: the one to lay out.

    Attributes:
        end: size of the message, header excluded.
        offsets: of each value of a path such as ``motor_state.q``, from the end of the header.
        codes: `struct` code of a path's values.
        shapes: of a path's values; empty for a single one.

    Raises:
        LayoutError: for a field whose size varies.
    """

    def __init__(self, types: Mapping[str, tuple[Field, ...]], message: str) -> None:
        self._types = types
        self.end = 0
        self.offsets: dict[str, list[int]] = {}
        self.codes: dict[str, str] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._place(message, "", ())

    def _place(self, message: str, prefix: str, shape: tuple[int, ...]) -> None:
        for field in self._types[message]:
            path = prefix + field.name
            if field.type == "string" or field.size == -1:
                kind = field.type if field.size != -1 else f"{field.type}[]"
                raise LayoutError(f"field {path} has the type {kind}, whose size varies")
            count = 1 if field.size is None else field.size
            inner = shape if field.size is None else (*shape, count)
            code = PRIMITIVES.get(field.type)
            for _ in range(count):
                if code is None:
                    self._place(field.type, path + ".", inner)
                    continue
                width = struct.calcsize(code)
                self.end = aligned(self.end, width)
                self.offsets.setdefault(path, []).append(self.end)
                self.codes[path], self.shapes[path] = code, inner
                self.end += width


class CdrLayout:
    """Byte offsets of every primitive of a message class without strings or sequences.

    Args:
        message_class: a generated message class.

    Raises:
        LayoutError: for a field whose size varies.
    """

    def __init__(self, message_class: Any) -> None:
        self.name = message_class.__name__
        root = class_name(message_class)
        self._layout = FixedLayout(parse_definition(root, definition_text(message_class)), root)
        self.size = HEADER_SIZE + self._layout.end

    def offsets(self, path: str) -> tuple[np.dtype[Any], list[int]]:
        """Type and byte offsets, header included, of a leaf such as ``motor_state.q``."""
        if path not in self._layout.offsets:
            known = sorted(self._layout.offsets)
            raise LayoutError(f"{self.name} has no field {path!r}; it has {known}")
        places = [HEADER_SIZE + offset for offset in self._layout.offsets[path]]
        return np.dtype("<" + self._layout.codes[path]), places

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
