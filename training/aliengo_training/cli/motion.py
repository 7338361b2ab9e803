"""`motion.py`: look at, check, play, mirror, make and retarget reference motions."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple, Union

import tyro
from typing_extensions import Annotated

from aliengo_description import robot
from aliengo_training.motion import synthesis
from aliengo_training.motion.analysis import analyse
from aliengo_training.motion.clip import MotionClip, mirror
from aliengo_training.motion.files import find_motions, load_motion, write_motion
from aliengo_training.motion.keypoints import read_keypoints
from aliengo_training.motion.retarget import RetargetConfig, retarget
from aliengo_training.rendering import VideoError


@dataclasses.dataclass(frozen=True)
class Reading:
    """How motion files are read.

    Attributes:
        joint_order: Order of the legs in the file: policy (FL, FR, RL, RR) or sdk (FR, FL, RR, RL).
        lowpass_hz: Zero-phase low-pass of the pose [Hz]; 0 for none.
        ground: lift, level, plant or none (see the documentation of motion.alignment).
        heading: Turn the trunk so that the mean velocity points straight ahead.
        check_kinematics: Refuse feet that are not the Aliengo's; switch off for other robots.
    """

    joint_order: str = "policy"
    lowpass_hz: Optional[float] = None
    ground: str = "lift"
    heading: bool = False
    check_kinematics: bool = True

    def load(self, path: Path) -> MotionClip:
        """Read a file with these settings."""
        return load_motion(path, **dataclasses.asdict(self))


@dataclasses.dataclass(frozen=True)
class Check:
    """Check motion files and print their figures.

    Attributes:
        files: Motion files, or quoted glob patterns ('motions/*.txt').
        read: How they are read.
        json: Print JSON instead of a table.
    """

    files: tyro.conf.Positional[List[Path]]
    read: Reading = dataclasses.field(default_factory=Reading)
    json: bool = False

    def run(self) -> None:
        """Print one entry per file."""
        if not self.files:
            raise ValueError("check has no file: expected files or patterns, e.g. 'motions/*.txt'")
        paths = [path for name in self.files for path in find_motions(name)]
        figures = {str(path): analyse(self.read.load(path)).to_dict() for path in paths}
        if self.json:
            print(json.dumps(figures, indent=2))
            return
        for path, values in figures.items():
            print(path)
            for name, value in values.items():
                print(f"  {name:<18} {_text(value)}")


@dataclasses.dataclass(frozen=True)
class Plot:
    """Plot feet, contacts, velocities and joints of a motion file.

    Attributes:
        file: Motion file.
        output: Image, by default logs/<name>.png.
        read: How the file is read.
    """

    file: tyro.conf.Positional[Path]
    output: Optional[Path] = None
    read: Reading = dataclasses.field(default_factory=Reading)

    def run(self) -> None:
        """Write the image."""
        from aliengo_training.motion.plots import plot_clip

        file = _one(self.file)
        output = self.output or Path("logs") / f"{file.stem}.png"
        plot_clip(self.read.load(file), output)
        print(f"wrote {output}")


@dataclasses.dataclass(frozen=True)
class Play:
    """Play a motion file kinematically into a video (needs imageio; MUJOCO_GL=egl without screen).

    Attributes:
        file: Motion file.
        output: .mp4 or .gif, by default logs/<name>.mp4.
        fps: Images per second.
        read: How the file is read.
    """

    file: tyro.conf.Positional[Path]
    output: Optional[Path] = None
    fps: float = 30.0
    read: Reading = dataclasses.field(default_factory=Reading)

    def run(self) -> None:
        """Write the video."""
        from aliengo_training.motion.playback import write_video

        file = _one(self.file)
        output = self.output or Path("logs") / f"{file.stem}.mp4"
        count = write_video(self.read.load(file), output, self.fps)
        print(f"wrote {output} ({count} images)")


@dataclasses.dataclass(frozen=True)
class Mirror:
    """Write the mirror image of a motion file: a limp of the other leg, turns to the other side.

    Attributes:
        file: Motion file.
        output: File to write.
        weight: Weight of the new clip, by default that of the file.
        read: How the file is read.
    """

    file: tyro.conf.Positional[Path]
    output: tyro.conf.Positional[Path]
    weight: Optional[float] = None
    read: Reading = dataclasses.field(default_factory=Reading)

    def run(self) -> None:
        """Write the mirrored file."""
        clip = mirror(self.read.load(_one(self.file)))
        if self.weight is not None:
            clip = dataclasses.replace(clip, weight=self.weight)
        write_motion(clip, self.output)
        print(f"wrote {self.output}")


@dataclasses.dataclass(frozen=True)
class Synthesize:
    """Make motion files of a gait, one for each combination of speed and yaw rate.

    Attributes:
        folder: Where the files are written.
        gait: walk, trot, limp_FL, limp_FR, limp_RL or limp_RR.
        speeds: Forward velocities [m/s], by default 0.2 0.4 0.6 for walk, else 0.3 0.6 0.9.
        yaw_rates: [rad/s].
        lateral: Velocity to the left [m/s].
        cycles: Gait cycles per file.
        fps: Frames per second.
        weight: Weight of each file.
    """

    folder: tyro.conf.Positional[Path]
    gait: str = "limp_FR"
    speeds: Optional[Sequence[float]] = None
    yaw_rates: Sequence[float] = (-0.6, 0.0, 0.6)
    lateral: float = 0.0
    cycles: int = 6
    fps: float = 50.0
    weight: float = 1.0

    def run(self) -> None:
        """Write the files, all of them or, if one cannot be made, none."""
        clips: Dict[Path, MotionClip] = {}
        for clip in self._clips():
            path = self.folder / f"{clip.name}.txt"
            if path in clips:
                raise ValueError(
                    f"two motions would be {path}: speeds and yaw rates must differ by 0.01 or more"
                )
            clips[path] = clip
        for path, clip in clips.items():
            write_motion(clip, path)
            print(f"wrote {path}")

    def _clips(self) -> List[MotionClip]:
        """Make the motions."""
        gait = _gait(self.gait)
        speeds = gait.speeds if self.speeds is None else self.speeds
        for name, values in (("speeds", speeds), ("yaw_rates", self.yaw_rates)):
            if not values:
                raise ValueError(f"--{name} has no value: expected one number or more")
        made = [
            synthesis.synthesize(gait, speed, self.lateral, yaw_rate, self.cycles, self.fps)
            for speed in speeds
            for yaw_rate in self.yaw_rates
        ]
        return [dataclasses.replace(clip, weight=self.weight) for clip in made]


@dataclasses.dataclass(frozen=True)
class Retarget:
    """Make a motion file from 3-D key points of an animal, and print what had to be given up.

    Attributes:
        file: Key points, .json or .csv (see the documentation of motion.keypoints).
        output: Motion file to write.
        frame_rate: Frames per second, where the file does not say.
        names: Names of points in the file, e.g. l_paw=left_front_foot.
        cfg: Scaling, smoothing, contacts.
    """

    file: tyro.conf.Positional[Path]
    output: tyro.conf.Positional[Path]
    frame_rate: Optional[float] = None
    names: Tuple[str, ...] = ()
    cfg: RetargetConfig = dataclasses.field(default_factory=RetargetConfig)

    def run(self) -> None:
        """Write the motion file and print the report."""
        names: Dict[str, str] = {}
        for pair in self.names:
            source, _, name = pair.partition("=")
            if pair.count("=") != 1 or source in names:
                raise ValueError(f"--names has {pair!r}: expected NAME_IN_FILE=NAME, each once")
            names[source] = name
        clip, report = retarget(read_keypoints(self.file, self.frame_rate, names), self.cfg)
        write_motion(clip, self.output)
        print(f"wrote {self.output}")
        print(json.dumps(report.to_dict(), indent=2))


Command = Union[
    Annotated[Check, tyro.conf.subcommand("check")],
    Annotated[Plot, tyro.conf.subcommand("plot")],
    Annotated[Play, tyro.conf.subcommand("play")],
    Annotated[Mirror, tyro.conf.subcommand("mirror")],
    Annotated[Synthesize, tyro.conf.subcommand("synthesize")],
    Annotated[Retarget, tyro.conf.subcommand("retarget")],
]


def _one(pattern: Path) -> Path:
    """The one file that a name or a glob pattern stands for; ValueError if there are more."""
    paths = find_motions(pattern)
    if len(paths) > 1:
        raise ValueError(f"{str(pattern)!r} matches {len(paths)} files: expected one")
    return paths[0]


def _gait(name: str) -> synthesis.Gait:
    """Return a gait by name; ValueError lists the names."""
    gaits: Dict[str, synthesis.Gait] = dict(synthesis.GAITS)
    for leg in robot.LEG_NAMES:
        gaits[f"limp_{leg}"] = synthesis.limp(leg)
    if name not in gaits:
        raise ValueError(f"gait is {name!r}: allowed are {sorted(gaits)}")
    return gaits[name]


def _text(value: object) -> str:
    """Format a figure for the table."""
    if isinstance(value, dict):
        return "  ".join(f"{key} {item:.2f}" for key, item in value.items())
    if isinstance(value, (tuple, list)):
        return " ".join(_text(item) for item in value) or "none"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Entry point of `motion.py`; user errors end with a message and exit code 2."""
    command = tyro.cli(Command, args=arguments, use_underscores=True)
    try:
        command.run()
    except (ValueError, OSError, VideoError) as error:
        print(f"motion.py: error: {error}", file=sys.stderr)
        sys.exit(2)
