"""Writes MCAP recordings that survive a kill, a full disk and the lack of ROS.

Messages go to disk as the serialised bytes that came from the wire, in small compressed chunks
that are handed to the operating system at every `flush`. A process killed at any moment leaves
a file that lacks at most the last chunk (and the index at its end, which readers can do without).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mcap.writer import CompressionType, Writer

from aliengo_policy.bags.metadata import TopicSummary, metadata_yaml

__all__ = ["DiskFullError", "Recorder"]

CHUNK_SIZE = 64 * 1024
"""Bytes before compression; at the full rate of the robot a chunk lasts about 0.1 s."""


class DiskFullError(OSError):
    """The disk is full or takes no more; the file up to here is kept."""


class Recorder:
    """One recording: a folder with one MCAP file and the `metadata.yaml` of rosbag2."""

    def __init__(self, folder: Path, min_free_bytes: int = 500_000_000) -> None:
        """Creates the folder and opens the file.

        Args:
            folder: Folder of the recording; it must not exist yet.
            min_free_bytes: The recording ends when less than this is free on the disk.

        Raises:
            FileExistsError: If the folder exists.
            DiskFullError: If the disk is already too full.
            OSError: If the folder cannot be created.
        """
        folder.mkdir(parents=True)
        self.folder = folder
        self.path = folder / f"{folder.name}_0.mcap"
        self._min_free_bytes = min_free_bytes
        self._check_disk()
        self._stream = self.path.open("wb")
        self._writer = Writer(self._stream, CHUNK_SIZE, compression=CompressionType.ZSTD)
        with self._writing():
            self._writer.start(profile="ros2", library="aliengo_policy")
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, int] = {}
        self._topics: dict[str, TopicSummary] = {}
        self._first_ns = 0
        self._last_ns = 0

    @property
    def counts(self) -> dict[str, int]:
        """Number of messages written so far, by topic."""
        return {name: topic.count for name, topic in self._topics.items()}

    def add_topic(self, topic: str, type_name: str, definition: str, qos: str = "") -> None:
        """Announces a topic.

        Args:
            topic: Absolute name.
            type_name: `package/msg/Name`.
            definition: Text of the message definition with all contained types.
            qos: The publishers' QoS profiles as rosbag2 writes them (YAML).

        Raises:
            DiskFullError: If the disk is full.
        """
        with self._writing():
            if type_name not in self._schemas:
                self._schemas[type_name] = self._writer.register_schema(
                    type_name, "ros2msg", definition.encode()
                )
            self._channels[topic] = self._writer.register_channel(
                topic, "cdr", self._schemas[type_name], {"offered_qos_profiles": qos}
            )
        self._topics[topic] = TopicSummary(topic, type_name, qos)

    def write(self, topic: str, data: bytes, log_time_ns: int, publish_time_ns: int) -> None:
        """Stores one serialised message.

        Args:
            topic: A topic announced before.
            data: Serialised message with its encapsulation header.
            log_time_ns: When it was received [ns since 1970].
            publish_time_ns: When it was sent [ns since 1970].

        Raises:
            DiskFullError: If the disk is full.
        """
        summary = self._topics[topic]
        with self._writing():
            self._writer.add_message(
                self._channels[topic], log_time_ns, data, publish_time_ns, summary.count
            )
        summary.count += 1
        self._first_ns = min(self._first_ns or log_time_ns, log_time_ns)
        self._last_ns = max(self._last_ns, log_time_ns)

    def attach(self, files: Sequence[Path], now_ns: int) -> None:
        """Stores files, such as the policy that runs, inside the recording.

        Raises:
            DiskFullError: If the disk is full.
            OSError: If a file cannot be read.
        """
        for path in files:
            changed_ns, data = path.stat().st_mtime_ns, path.read_bytes()
            with self._writing():
                self._writer.add_attachment(
                    changed_ns, now_ns, path.name, "application/octet-stream", data
                )

    def add_metadata(self, name: str, values: Mapping[str, str]) -> None:
        """Stores key-value pairs inside the recording.

        Raises:
            DiskFullError: If the disk is full.
        """
        with self._writing():
            self._writer.add_metadata(name, dict(values))

    def flush(self) -> None:
        """Hands finished chunks to the operating system and watches the disk.

        Raises:
            DiskFullError: If the disk is full, or nearly.
        """
        with self._writing():
            self._stream.flush()
        self._check_disk()

    def close(self) -> None:
        """Writes the index and the metadata, and forces everything to disk.

        Raises:
            DiskFullError: If there is no room left; the recording is still readable.
        """
        with self._writing():
            self._writer.finish()
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
            text = metadata_yaml(
                self.path.name, list(self._topics.values()), self._first_ns, self._last_ns
            )
            (self.folder / "metadata.yaml").write_text(text, encoding="utf-8")

    def abandon(self) -> None:
        """Closes the file as it is, for when `close` cannot succeed."""
        # What the buffer holds does not fit on the disk; the file closes all the same.
        with suppress(OSError):
            self._stream.close()

    def _check_disk(self) -> None:
        free = shutil.disk_usage(self.folder).free
        if free < self._min_free_bytes:
            raise DiskFullError(
                f"{free / 1e6:.0f} MB are free at {self.folder}; "
                f"recording needs {self._min_free_bytes / 1e6:.0f} MB"
            )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            text = f"cannot write {self.path}: {error.strerror or error}"
            raise DiskFullError(text) from error
