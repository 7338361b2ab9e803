"""The rules of the house that no linter knows: who imports whom, sizes, manifests."""

import ast
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest
from catkin_pkg.package import parse_package

ROOT = Path(__file__).resolve().parents[2]
WORKSPACE = ROOT / "ros2_ws" / "src"
MESSAGE_PACKAGES = ("aliengo_msgs", "unitree_legged_msgs")
PYTHON_PACKAGES = {
    "aliengo_policy": ROOT,
    "aliengo_bridge": WORKSPACE / "aliengo_bridge",
    "aliengo_description": WORKSPACE / "aliengo_description",
    "aliengo_sim": WORKSPACE / "aliengo_sim",
    "aliengo_teleop": WORKSPACE / "aliengo_teleop",
}
SOURCES = {**PYTHON_PACKAGES, "aliengo_training": ROOT / "training"}
MAY_IMPORT = {
    "aliengo_policy": {"aliengo_description"},
    "aliengo_bridge": {"aliengo_description"},
    "aliengo_description": set(),
    "aliengo_sim": {"aliengo_description", "aliengo_bridge"},
    "aliengo_teleop": {"aliengo_description"},
    "aliengo_training": {"aliengo_description"},
}
ROS_MODULES = ("ament_index_python", "builtin_interfaces", "launch", "launch_ros", "rcl_interfaces")
ROS_MODULES += ("rclpy",)
ROSDEP_KEYS = {
    "PIL": "python3-pil",
    "evdev": "python3-evdev",
    "hypothesis": "python3-hypothesis",
    "matplotlib": "python3-matplotlib",
    "numpy": "python3-numpy",
    "pytest": "python3-pytest",
    "yaml": "python3-yaml",
}
"""Of the modules that rosdep knows; the others are in requirements/."""
LICENCE = "Apache-2.0"
MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_FUNCTION = 60


def modules(package: str) -> list[Path]:
    """Python files of a package, without its tests."""
    return sorted((SOURCES[package] / package).rglob("*.py"))


def all_python_files() -> list[Path]:
    """Every Python file that we maintain."""
    folders = [SOURCES[name] / name for name in SOURCES]
    folders += [SOURCES[name] / "test" for name in SOURCES]
    folders += [ROOT / "scripts", ROOT / "training" / "scripts", ROOT / "launch"]
    return sorted({path for folder in folders for path in folder.rglob("*.py")})


def imported_names(path: Path) -> set[str]:
    """Full names of the modules that a file imports anywhere."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
    return names


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Name and length of every function of a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def manifest(package: str) -> ElementTree.Element:
    """Parsed package.xml."""
    folder = PYTHON_PACKAGES.get(package, WORKSPACE / package)
    return ElementTree.parse(folder / "package.xml").getroot()


@pytest.mark.parametrize("package", SOURCES)
def test_packages_import_only_whom_they_may(package: str) -> None:
    for path in modules(package):
        ours = {name.split(".")[0] for name in imported_names(path)} & set(SOURCES)
        assert ours <= MAY_IMPORT[package] | {package}, path


def test_sim_uses_nothing_of_the_bridge_but_its_protocol() -> None:
    for path in modules("aliengo_sim"):
        for name in imported_names(path):
            if name.startswith("aliengo_bridge"):
                assert name in {"aliengo_bridge.protocol", "aliengo_bridge.crc"}, path


@pytest.mark.parametrize("package", SOURCES)
def test_only_nodes_know_ros(package: str) -> None:
    for path in modules(package):
        if not path.name.endswith("_node.py"):
            ros = {
                name
                for name in imported_names(path)
                if re.match(r"rclpy\b|\w+_(msgs|srvs)\b", name)
            }
            assert not ros, f"{path} is no *_node.py and imports {sorted(ros)}"


@pytest.mark.parametrize("path", all_python_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_fit_on_a_few_screens(path: Path) -> None:
    count = len(path.read_text(encoding="utf-8").splitlines())
    assert count <= MOST_LINES_OF_A_FILE, f"{path} has {count} lines"
    for name, length in functions(path):
        assert length <= MOST_LINES_OF_A_FUNCTION, f"{path}: {name} has {length} lines"


@pytest.mark.parametrize("package", [*PYTHON_PACKAGES, *MESSAGE_PACKAGES])
def test_manifests_agree(package: str) -> None:
    root = manifest("aliengo_policy")
    found = manifest(package)
    assert found.get("format") == "3"
    assert found.findtext("name") == package
    assert found.findtext("license") == LICENCE
    for tag in ("version", "maintainer"):
        assert found.findtext(tag) == root.findtext(tag), tag
    setup = PYTHON_PACKAGES.get(package, Path("-")) / "setup.py"
    if package in PYTHON_PACKAGES:
        text = setup.read_text(encoding="utf-8")
        assert f'version="{root.findtext("version")}"' in text
        assert f'license="{LICENCE}"' in text
        assert (setup.parent / "resource" / package).is_file()


@pytest.mark.parametrize("package", [*PYTHON_PACKAGES, *MESSAGE_PACKAGES])
def test_manifests_are_valid(package: str) -> None:
    complaints: list[str] = []
    folder = PYTHON_PACKAGES.get(package, WORKSPACE / package)
    parse_package(str(folder), warnings=complaints).validate(warnings=complaints)
    assert not complaints


def key_of(module: str) -> str | None:
    """What a manifest calls the package of a module; None for what has no rosdep key."""
    if module in SOURCES or module in ROS_MODULES or module.endswith(("_msgs", "_srvs")):
        return module
    return ROSDEP_KEYS.get(module)


@pytest.mark.parametrize("package", PYTHON_PACKAGES)
def test_manifests_declare_what_is_imported(package: str) -> None:
    found = manifest(package)
    declared = {str(node.text) for tag in ("depend", "exec_depend") for node in found.iter(tag)}
    for_tests = declared | {str(node.text) for node in found.iter("test_depend")}
    tests = sorted((SOURCES[package] / "test").rglob("*.py"))
    for paths, allowed in ((modules(package), declared), (tests, for_tests)):
        for path in paths:
            names = {name.split(".")[0] for name in imported_names(path)}
            keys = {key for key in map(key_of, names) if key} - {package, "aliengo_training"}
            assert keys <= allowed, f"{path}: {package}/package.xml lacks {sorted(keys - allowed)}"


def test_the_workspace_finds_the_package_that_is_the_root() -> None:
    """`colcon build` in ros2_ws would silently leave it out: a copy made without links has a file."""
    link = WORKSPACE / "aliengo_policy"
    assert link.is_symlink(), f"{link} must be a symbolic link to ../.."
    assert link.resolve() == ROOT


@pytest.mark.parametrize("package", MESSAGE_PACKAGES)
def test_every_interface_is_built(package: str) -> None:
    rules = (WORKSPACE / package / "CMakeLists.txt").read_text(encoding="utf-8")
    for path in (WORKSPACE / package).glob("[ms][sr][gv]/*"):
        assert f"{path.parent.name}/{path.name}" in rules, path.name


def test_requirements_are_exact() -> None:
    pin = re.compile(r"[A-Za-z0-9_.\-]+(\[\w+\])?==[\w.+]+(; python_version (<|>=) \"3\.\d+\")?$")
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        for line in path.read_text(encoding="utf-8").splitlines():
            text = line.split("#")[0].strip()
            if text and text != "numpy":
                assert pin.match(text), f"{path.name}: {line!r} does not pin one version"
