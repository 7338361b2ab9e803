"""Decodes CDR, the serialisation of ROS 2, from the definition embedded in a bag.

Messages without strings and sequences have one fixed layout: it becomes a numpy structure, and
a whole recording of them is decoded at once. All others are decoded one by one.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from aliengo_policy.cdr import HEADER_SIZE, FixedLayout, LayoutError, aligned
from aliengo_policy.definitions import PRIMITIVES, Field, parse_definition, short_name

__all__ = ["CdrError", "Decoder"]


class CdrError(ValueError):
    """A message does not fit its definition."""


class Decoder:
    """Decodes all messages of one type."""

    def __init__(self, type_name: str, text: str) -> None:
        """Prepares the decoding.

        Args:
            type_name: Type as `package/msg/Name`.
            text: Its definition with those of all contained types (`ros2msg`).
        """
        self.type_name = type_name
        self._types = parse_definition(type_name, text)
        self._root = short_name(type_name)
        self._layout: FixedLayout | None = None
        with contextlib.suppress(LayoutError):
            self._layout = FixedLayout(self._types, self._root)

    @property
    def is_fixed(self) -> bool:
        """True if messages of this type can be decoded by `stack`."""
        return self._layout is not None

    def decode(self, data: bytes) -> dict[str, Any]:
        """Decodes one message into nested dictionaries; numeric arrays become numpy arrays.

        Raises:
            CdrError: If the bytes end before the message does.
        """
        cursor = _Cursor(data)
        try:
            return self._read_message(cursor, self._root)
        except (struct.error, IndexError, ValueError) as error:
            raise CdrError(
                f"a {self.type_name} of {len(data)} bytes does not fit its definition: {error}"
            ) from error

    def stack(
        self, messages: Sequence[bytes], paths: Sequence[str]
    ) -> dict[str, np.ndarray[Any, Any]]:
        """Decodes fields of n messages of fixed layout at once.

        Args:
            messages: Serialised messages, all of one length.
            paths: Fields as dotted paths; paths that the type lacks are left out of the result.

        Returns:
            For each path an array with n rows; a path through an array of messages has one more
            dimension (`motor_state.q` is (n, 20)).

        Raises:
            CdrError: If the messages differ in length or are shorter than the definition.
        """
        if self._layout is None:
            raise CdrError(f"{self.type_name} has no fixed layout; use decode")
        lengths = {len(message) for message in messages}
        needed = HEADER_SIZE + self._layout.end
        if len(lengths) > 1 or any(length < needed for length in lengths):
            raise CdrError(
                f"{self.type_name} messages have {sorted(lengths)} bytes; "
                f"one length of at least {needed} is needed"
            )
        raw = np.frombuffer(b"".join(messages), np.uint8).reshape(len(messages), -1)
        order = "<" if not messages or messages[0][1] & 1 else ">"
        result = {}
        for path in paths:
            if path in self._layout.offsets:
                dtype = np.dtype(order + self._layout.codes[path])
                shape = self._layout.shapes[path]
                offsets = np.array(self._layout.offsets[path]) + HEADER_SIZE
                columns = (offsets[:, None] + np.arange(dtype.itemsize)).ravel()
                values = np.ascontiguousarray(raw[:, columns]).view(dtype)
                result[path] = values.reshape(len(messages), *shape)
        return result

    def _read_message(self, cursor: _Cursor, name: str) -> dict[str, Any]:
        return {field.name: self._read_field(cursor, field) for field in self._types[name]}

    def _read_field(self, cursor: _Cursor, field: Field) -> Any:
        if field.size is None:
            return self._read_value(cursor, field.type)
        count = cursor.number("I") if field.size < 0 else field.size
        code = PRIMITIVES.get(field.type)
        if code is not None:
            return cursor.array(code, count)
        return [self._read_value(cursor, field.type) for _ in range(count)]

    def _read_value(self, cursor: _Cursor, type_name: str) -> Any:
        code = PRIMITIVES.get(type_name)
        if code is not None:
            return cursor.number(code)
        if type_name == "string":
            return cursor.string()
        return self._read_message(cursor, type_name)


class _Cursor:
    """A place in a message, with the alignment rules of CDR."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)[HEADER_SIZE:]
        self._order = "<" if data[1] & 1 else ">"
        self._position = 0

    def number(self, code: str) -> Any:
        self._align(code)
        (value,) = struct.unpack_from(self._order + code, self._data, self._position)
        self._position += struct.calcsize(code)
        return value

    def array(self, code: str, count: int) -> np.ndarray[Any, Any]:
        if count == 0:
            return np.empty(0, np.dtype(code))
        self._align(code)
        values = np.frombuffer(self._data, self._order + code, count, self._position)
        self._position += values.nbytes
        return values

    def string(self) -> str:
        length = self.number("I")
        end = self._position + length
        if end > len(self._data):
            raise IndexError(f"a string of {length} bytes ends after the message")
        value = bytes(self._data[self._position : max(end - 1, self._position)])
        self._position = end
        return value.decode(errors="replace")

    def _align(self, code: str) -> None:
        self._position = aligned(self._position, struct.calcsize(code))
