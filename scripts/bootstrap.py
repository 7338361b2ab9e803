#!/usr/bin/env python3
"""Makes ``.venv`` hold all that this repository needs; does nothing where nothing changed.

``python3 scripts/bootstrap.py sim`` gets what `make sim` needs, ``... dev`` also what training,
tests and documentation need. The steps are: check the host, create the environment, install the
pinned requirements (ROS 2 itself among them, unless a system ROS 2 is sourced), build the messages
into the environment's prefix, and put our packages on its path. Each step leaves a stamp with the
hash of its inputs. Only the standard library is used, since this runs before anything is installed.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
# Beside the environment: creating that anew would delete a lock inside it.
LOCK = ROOT / ".venv.lock"
PYTHON = VENV / "bin" / "python"
REQUIREMENTS = ROOT / "requirements"
MESSAGE_PACKAGES = ("unitree_legged_msgs", "aliengo_msgs")
SOURCE_FOLDERS = (
    ".",
    "training",
    "ros2_ws/src/aliengo_description",
    "ros2_ws/src/aliengo_bridge",
    "ros2_ws/src/aliengo_sim",
    "ros2_ws/src/aliengo_teleop",
)
REQUIREMENT_SETS = {"sim": ("sim",), "dev": ("sim", "train", "dev", "docs")}
SUPPORTED_PYTHONS = ((3, 10), (3, 13))
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"


class SetupError(Exception):
    """A step failed; the message says which, and what the user can do."""


def main() -> int:
    """Run all steps under a lock, so that two ``make`` at once do not disturb each other."""
    parser = argparse.ArgumentParser(description="Set up .venv for this repository.")
    parser.add_argument("set", choices=sorted(REQUIREMENT_SETS), help="what the environment is for")
    wanted = parser.parse_args().set
    system_ros = find_system_ros()
    started = time.monotonic()
    try:
        with open(LOCK, "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            check_host()
            create_environment(system_ros)
            changed = install_requirements(wanted, system_ros)
            changed |= build_messages(system_ros)
            add_source_folders()
    except SetupError as error:
        print(f"[setup] failed: {error}", file=sys.stderr)
        return 1
    if changed:
        print(f"[setup] ready after {time.monotonic() - started:.0f} s", flush=True)
    return 0


def find_system_ros() -> str | None:
    """Name of the sourced ROS 2 distribution, or None if the wheels are to be used."""
    distribution = os.environ.get("ROS_DISTRO")
    if not distribution or os.environ.get("ALIENGO_USE_ROS_WHEELS"):
        return None
    if not any(
        (Path(prefix) / "share" / "rclpy" / "package.xml").is_file()
        for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
        if prefix and Path(prefix) != VENV
    ):
        return None
    return distribution


def check_host() -> None:
    """Raise SetupError if the machine lacks something that pip cannot install."""
    low, high = SUPPORTED_PYTHONS
    found = sys.version_info[:2]
    if not low <= found <= high:
        raise SetupError(
            f"Python {found[0]}.{found[1]} at {sys.executable} is not supported; use "
            f"{low[0]}.{low[1]} to {high[0]}.{high[1]}, e.g. `make PYTHON=python3.11 ...`"
        )
    if not (shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")):
        raise SetupError("no C++ compiler found; on Debian or Ubuntu: sudo apt install g++ make")
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not header.is_file():
        raise SetupError(
            f"{header} is missing, and the ROS 2 messages are compiled against it; on Debian or "
            f"Ubuntu: sudo apt install python{found[0]}.{found[1]}-dev"
        )


def create_environment(system_ros: str | None) -> None:
    """Create ``.venv``, anew if it belongs to another Python or another kind of ROS."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    kind = f"python {version}, ROS {system_ros or 'from wheels'}, {VENV}\n"
    marker = VENV / "kind"
    if PYTHON.exists() and read_stamp(marker) == kind:
        return
    say(f"creating .venv ({kind.strip()})")
    # Not sys.executable: in an activated environment that is the Python about to be removed.
    command = [getattr(sys, "_base_executable", sys.executable), "-m", "venv", "--clear"]
    if system_ros:
        command.append("--system-site-packages")
    try:
        run([*command, str(VENV)], "venv.log")
    except SetupError as error:
        raise SetupError(
            f"{error}\nIs the venv module there? On Debian or Ubuntu: "
            f"sudo apt install python{version}-venv"
        ) from None
    marker.write_text(kind, encoding="utf-8")


def install_requirements(wanted: str, system_ros: str | None) -> bool:
    """Install the pinned packages of a set.

    Returns:
        Whether anything had to be done.
    """
    constraints = ["numpy-system-ros"] if system_ros else ["constraints", "numpy"]
    base = [] if system_ros else ["ros", "build"]
    digests = {
        name: hash_files([REQUIREMENTS / f"{part}.txt" for part in (*constraints, *base, *parts)])
        for name, parts in REQUIREMENT_SETS.items()
    }
    if read_stamp(VENV / f"stamp-requirements-{wanted}") == digests[wanted]:
        return False
    say(f"installing the {wanted} requirements; the first time takes some minutes")
    parts = REQUIREMENT_SETS[wanted]
    command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    for name in constraints:
        command += ["-c", str(REQUIREMENTS / f"{name}.txt")]
    for name in (*base, *parts):
        command += ["-r", str(REQUIREMENTS / f"{name}.txt")]
    if "train" in parts and not has_nvidia_gpu() and answers(f"{TORCH_CPU_INDEX}/torch/"):
        command += ["--extra-index-url", TORCH_CPU_INDEX]
    try:
        run(command, "pip.log", show=re.compile(r"Collecting \S+|Installing collected packages"))
    except SetupError as error:
        raise SetupError(
            f"{error}\nCheck the network connection (pip needs PyPI or a mirror of it), then run "
            "the same command again; what has been downloaded is kept."
        ) from None
    if not system_ros:
        relocate_cmake_exports()
    for name, needed in REQUIREMENT_SETS.items():
        if set(needed) <= set(parts):
            (VENV / f"stamp-requirements-{name}").write_text(digests[name], encoding="utf-8")
    return True


def relocate_cmake_exports() -> None:
    """Point the wheels' CMake files to this Python instead of the one that built the wheels.

    Without this, an interface with a service, which always depends on ``service_msgs``, does not
    build.
    """
    include = sysconfig.get_paths()["include"]
    packages = subprocess.run(
        [str(PYTHON), "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    for path in (VENV / "share").glob("*/cmake/*.cmake"):
        text = path.read_text(encoding="utf-8")
        fixed = re.sub(r"/opt/python/[^/;\"]+/include/python3\.\d+", lambda _: include, text)
        fixed = re.sub(
            r"/opt/python/[^/;\"]+/lib/python3\.\d+/site-packages", lambda _: packages, fixed
        )
        if fixed != text:
            path.write_text(fixed, encoding="utf-8")


def build_messages(system_ros: str | None) -> bool:
    """Compile our message packages into the environment's prefix.

    Returns:
        Whether anything had to be done.
    """
    sources = [ROOT / "ros2_ws" / "src" / name for name in MESSAGE_PACKAGES]
    files = [path for folder in sources for path in sorted(folder.rglob("*")) if path.is_file()]
    digest = hash_files([*files, VENV / "kind", REQUIREMENTS / "ros.txt"])
    stamp = VENV / "stamp-messages"
    if read_stamp(stamp) == digest:
        return False
    environment = dict(os.environ)
    environment["PATH"] = f"{VENV / 'bin'}{os.pathsep}{environment['PATH']}"
    if not system_ros:
        environment |= {"AMENT_PREFIX_PATH": str(VENV), "CMAKE_PREFIX_PATH": str(VENV)}
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    options = {
        "CMAKE_BUILD_TYPE": "Release",
        "BUILD_TESTING": "OFF",
        "CMAKE_INSTALL_PREFIX": VENV,
        "Python3_EXECUTABLE": PYTHON,
        "PYTHON_INSTALL_DIR": f"lib/{version}/site-packages",
    }
    for source in sources:
        say(f"building {source.name} (about 20 s)")
        build = VENV / "build" / source.name
        shutil.rmtree(build, ignore_errors=True)
        configure = ["cmake", "-S", str(source), "-B", str(build)]
        configure += [f"-D{key}={value}" for key, value in options.items()]
        log = f"{source.name}.log"
        run(configure, log, environment=environment)
        jobs = str(os.cpu_count() or 1)
        run(["cmake", "--build", str(build), "--parallel", jobs], log, environment=environment)
        run(["cmake", "--install", str(build)], log, environment=environment)
    stamp.write_text(digest, encoding="utf-8")
    return True


def add_source_folders() -> None:
    """Make our Python packages importable from the work tree, by a ``.pth`` file."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    target = VENV / "lib" / version / "site-packages" / "aliengo.pth"
    text = "".join(f"{(ROOT / folder).resolve()}\n" for folder in SOURCE_FOLDERS)
    if not target.exists() or target.read_text(encoding="utf-8") != text:
        target.write_text(text, encoding="utf-8")


def has_nvidia_gpu() -> bool:
    """Whether a CUDA build of torch would be of use here."""
    return Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") is not None


def answers(url: str, timeout_s: float = 3.0) -> bool:
    """Whether an index can be reached; pip itself would retry for minutes."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s):
            return True
    except OSError:
        return False


def hash_files(paths: list[Path]) -> str:
    """SHA-256 over names and contents of files."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.name}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def read_stamp(path: Path) -> str | None:
    """The hash that a step left behind, if it ever finished."""
    return path.read_text(encoding="utf-8") if path.exists() else None


def say(message: str) -> None:
    """Print one line of progress."""
    print(f"[setup] {message}", flush=True)


def run(
    command: list[str],
    log_name: str,
    environment: dict[str, str] | None = None,
    show: re.Pattern[str] | None = None,
) -> None:
    """Run a command; log its output in ``.venv`` and print the parts of it that match ``show``.

    Raises:
        SetupError: with the end of the output, if the command cannot be started or fails.
    """
    tail: list[str] = []
    VENV.mkdir(exist_ok=True)
    log_path = VENV / log_name
    try:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            text=True,
            errors="replace",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except OSError as error:
        raise SetupError(f"cannot start `{command[0]}`: {error}") from None
    assert process.stdout is not None
    with process, open(log_path, "a", encoding="utf-8") as log:
        for line in process.stdout:
            log.write(line)
            tail = [*tail[-24:], line]
            if show and (match := show.match(line.strip())):
                print(f"[setup]   {match[0]}", flush=True)
    if process.returncode != 0:
        raise SetupError(f"`{' '.join(command[:4])} ...` (all of it: {log_path})\n{''.join(tail)}")


if __name__ == "__main__":
    sys.exit(main())
