"""Reads MCAP recordings without ROS, whole or cut off in the middle."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mcap.data_stream import ReadDataStream
from mcap.exceptions import EndOfFile, McapError, UnsupportedCompressionError
from mcap.opcode import Opcode
from mcap.records import Attachment, Channel, Chunk, McapRecord, Message, Metadata, Schema
from mcap.stream_reader import StreamReader, get_chunk_data_stream
from zstandard import ZstdError

from aliengo_policy.bags.cdr import CdrError, Decoder
from aliengo_policy.definitions import DefinitionError

__all__ = ["Bag", "BagError", "Columns", "RawMessage", "Topic"]

BATCH = 4096
"""Messages decoded at once: large enough for numpy, small enough for the memory."""
_MESSAGE_HEADER = struct.Struct("<HIQQ")
_RECORD_HEADER = struct.Struct("<BQ")
# What mcap raises for bytes that are no record: a wrong checksum or text is a ValueError, an unknown
# channel a KeyError, and lz4 raises RuntimeError.
_DAMAGE = (McapError, ZstdError, RuntimeError, ValueError, LookupError, struct.error)


class BagError(RuntimeError):
    """A recording cannot be read; the message says which and why."""


class RawMessage(NamedTuple):
    """One message as stored; times in ns since 1970."""

    topic: str
    log_time_ns: int
    publish_time_ns: int
    data: bytes


@dataclass
class Topic:
    """One topic of a recording."""

    name: str
    type: str
    schema_encoding: str
    definition: str
    qos: str = ""
    count: int = 0


@dataclass(frozen=True)
class Columns:
    """Fields of all messages of one topic.

    Attributes:
        log_time_s: Time of receipt, (n,), seconds since `Bag.start_ns`.
        publish_time_s: Time of sending, likewise.
        values: Arrays with n rows by field path; paths that the messages lack are missing.
    """

    log_time_s: np.ndarray[Any, Any]
    publish_time_s: np.ndarray[Any, Any]
    values: dict[str, np.ndarray[Any, Any]]

    def __len__(self) -> int:
        """Number of messages."""
        return len(self.log_time_s)


class Bag:
    """A recording: an MCAP file, or a folder with one or several.

    Attributes:
        path: What was opened.
        topics: Topics by name, with their number of messages.
        attachments: Content of attached files, and of policies in the folder, by name.
        metadata: Key-value records by name.
        complete: False if a file ends before its index, as after a kill, or is damaged.
        start_ns: Time of the first message [ns since 1970].
        end_ns: Time of the last message [ns since 1970].
    """

    def __init__(self, path: Path | str) -> None:
        """Scans the recording once.

        Raises:
            BagError: If there is no MCAP file, or it is not one.
        """
        self.path = Path(path)
        self._files = _find_files(self.path)
        self.topics: dict[str, Topic] = {}
        self.attachments: dict[str, bytes] = {}
        self.metadata: dict[str, dict[str, str]] = {}
        self.complete = True
        times = [2**63, 0]
        for message in self._scan(collect=True):
            self.topics[message.topic].count += 1
            times = [min(times[0], message.log_time_ns), max(times[1], message.log_time_ns)]
        self.start_ns, self.end_ns = times if times[1] else (0, 0)
        # Beside a recording of `ros2 bag`, which cannot attach them.
        for policy in sorted(self.path.glob("*.onnx")):
            self.attachments.setdefault(policy.name, policy.read_bytes())

    @property
    def duration_s(self) -> float:
        """Time between the first and the last message [s]."""
        return (self.end_ns - self.start_ns) * 1e-9

    def messages(self, topics: Sequence[str] | None = None) -> Iterator[RawMessage]:
        """Yields the messages of some topics (default: all) in the order of the file."""
        wanted = None if topics is None else frozenset(topics)
        return self._scan(wanted=wanted)

    def decoded(self, topic: str) -> Iterator[tuple[float, dict[str, Any]]]:
        """Yields time of receipt [s since `start_ns`] and content of each message of a topic.

        Raises:
            BagError: If the recording has no such topic or it cannot be decoded.
        """
        decoder = self._decoder(topic)
        for message in self.messages([topic]):
            try:
                content = decoder.decode(message.data)
            except CdrError as error:
                raise BagError(f"{self.path}: topic {topic}: {error}") from error
            yield (message.log_time_ns - self.start_ns) * 1e-9, content

    def columns(self, topic: str, paths: Sequence[str]) -> Columns:
        """Reads fields of all messages of a topic into arrays.

        Args:
            topic: Name of the topic.
            paths: Fields as dotted paths; a path through an array of messages collects the field
                of each (`motor_state.q` has shape (n, 20)).

        Raises:
            BagError: If the recording has no such topic or it cannot be decoded.
        """
        decoder = self._decoder(topic)
        parts: dict[str, list[np.ndarray[Any, Any]]] = {path: [] for path in paths}
        log_times: list[int] = []
        publish_times: list[int] = []
        batch: list[bytes] = []

        def finish() -> None:
            try:
                for path, values in _extract(decoder, batch, paths).items():
                    parts[path].append(values)
            except CdrError as error:
                raise BagError(f"{self.path}: topic {topic}: {error}") from error
            batch.clear()

        for message in self.messages([topic]):
            log_times.append(message.log_time_ns - self.start_ns)
            publish_times.append(message.publish_time_ns - self.start_ns)
            batch.append(message.data)
            if len(batch) == BATCH:
                finish()
        if batch:
            finish()
        return Columns(
            np.array(log_times, np.float64) * 1e-9,
            np.array(publish_times, np.float64) * 1e-9,
            {path: _concatenate(values) for path, values in parts.items() if values},
        )

    def _decoder(self, topic: str) -> Decoder:
        if topic not in self.topics:
            raise BagError(f"{self.path} has no topic {topic}; it has {sorted(self.topics)}")
        info = self.topics[topic]
        if info.schema_encoding != "ros2msg":
            raise BagError(
                f"{self.path}: the definition of {topic} is {info.schema_encoding!r}; "
                "only 'ros2msg' can be read"
            )
        try:
            return Decoder(info.type, info.definition)
        except DefinitionError as error:
            raise BagError(f"{self.path}: topic {topic}: {error}") from error

    def _scan(
        self, wanted: frozenset[str] | None = None, collect: bool = False
    ) -> Iterator[RawMessage]:
        for path in self._files:
            reader = _FileReader(path, wanted)
            for item in reader.records():
                if isinstance(item, RawMessage):
                    yield item
                elif collect:
                    self._collect(item, reader)
            if not reader.complete:
                self.complete = False

    def _collect(self, record: McapRecord, reader: _FileReader) -> None:
        if isinstance(record, Channel):
            schema = reader.schemas.get(record.schema_id)
            self.topics.setdefault(
                record.topic,
                Topic(
                    record.topic,
                    schema.name if schema else "",
                    schema.encoding if schema else "",
                    schema.data.decode(errors="replace") if schema else "",
                    record.metadata.get("offered_qos_profiles", ""),
                ),
            )
        elif isinstance(record, Attachment):
            self.attachments[record.name] = record.data
        elif isinstance(record, Metadata):
            self.metadata[record.name] = dict(record.metadata)


class _FileReader:
    """Reads one file record by record, up to its end or to where it is cut off or damaged."""

    def __init__(self, path: Path, wanted: frozenset[str] | None) -> None:
        self._path = path
        self._wanted = wanted
        self._topics: dict[int, str] = {}
        self.schemas: dict[int, Schema] = {}
        self.complete = False

    def records(self) -> Iterator[RawMessage | McapRecord]:
        size = self._path.stat().st_size
        with self._path.open("rb") as stream:
            reader = StreamReader(stream, emit_chunks=True, record_size_limit=size)
            begun = False
            try:
                for record in reader.records:
                    begun = True
                    if isinstance(record, Chunk):
                        yield from self._chunk(record)
                    elif isinstance(record, Message):
                        yield from self._keep(record)
                    else:
                        yield from self._register(record)
                self.complete = True
            except UnsupportedCompressionError as error:
                raise BagError(f"{self._path} cannot be read: {error}") from error
            except EndOfFile:
                # Cut off: all that was complete has been yielded.
                return
            except _DAMAGE as error:
                # Damaged: what comes after cannot be trusted, what came before can.
                if not begun:
                    text = f"{self._path} is not a readable MCAP file: {error}"
                    raise BagError(text) from error

    def _register(self, record: McapRecord) -> Iterator[McapRecord]:
        if isinstance(record, Schema):
            self.schemas[record.id] = record
        elif isinstance(record, Channel) and record.id not in self._topics:
            self._topics[record.id] = record.topic
            yield record
        elif isinstance(record, (Attachment, Metadata)):
            yield record

    def _keep(self, record: Message) -> Iterator[RawMessage]:
        topic = self._topics[record.channel_id]
        if self._wanted is None or topic in self._wanted:
            yield RawMessage(topic, record.log_time, record.publish_time, record.data)

    def _chunk(self, chunk: Chunk) -> Iterator[RawMessage | McapRecord]:
        # mcap's own breakup_chunk builds an object per record, which takes longer than decoding.
        stream, size = get_chunk_data_stream(chunk, validate_crc=True)
        data = stream.read(size)
        position = 0
        while position < size:
            opcode, length = _RECORD_HEADER.unpack_from(data, position)
            position += _RECORD_HEADER.size
            if opcode == Opcode.MESSAGE:
                channel, _, log_time, publish_time = _MESSAGE_HEADER.unpack_from(data, position)
                topic = self._topics[channel]
                if self._wanted is None or topic in self._wanted:
                    start = position + _MESSAGE_HEADER.size
                    yield RawMessage(topic, log_time, publish_time, data[start : position + length])
            elif opcode in (Opcode.SCHEMA, Opcode.CHANNEL):
                yield from self._register(_parse(opcode, data[position : position + length]))
            position += length


def _parse(opcode: int, data: bytes) -> McapRecord:
    stream = ReadDataStream(BytesIO(data))
    record: Schema | Channel = (
        Schema.read(stream) if opcode == Opcode.SCHEMA else Channel.read(stream)
    )
    return record


def _find_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    files = sorted(path.glob("*.mcap"), key=lambda p: (len(p.name), p.name))
    if not files:
        found = sorted(p.name for p in path.iterdir()) if path.is_dir() else "nothing"
        raise BagError(f"no *.mcap file at {path}; found {found}")
    return files


def _extract(
    decoder: Decoder, batch: Sequence[bytes], paths: Sequence[str]
) -> dict[str, np.ndarray[Any, Any]]:
    if decoder.is_fixed:
        return decoder.stack(batch, paths)
    contents = [decoder.decode(data) for data in batch]
    result = {}
    for path in paths:
        values = [_follow(content, path.split(".")) for content in contents]
        if not any(value is None for value in values):
            result[path] = _as_array(values)
    return result


def _follow(content: Any, names: Sequence[str]) -> Any:
    for index, name in enumerate(names):
        if isinstance(content, list):
            return [_follow(item, names[index:]) for item in content]
        if not isinstance(content, dict) or name not in content:
            return None
        content = content[name]
    return content


def _as_array(values: list[Any]) -> np.ndarray[Any, Any]:
    lengths = {len(value) for value in values if isinstance(value, (list, np.ndarray))}
    if len(lengths) > 1:
        ragged = np.empty(len(values), object)
        ragged[:] = values
        return ragged
    return np.array(values)


def _concatenate(parts: list[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    if len({part.shape[1:] for part in parts}) > 1:
        rows = [row for part in parts for row in part]
        ragged = np.empty(len(rows), object)
        ragged[:] = rows
        return ragged
    return np.concatenate(parts)
