"""Every command that a page shows is one that our programs take: nothing is run, only parsed."""

import argparse
import contextlib
import importlib
import importlib.util
import io
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from documents import ROOT, commands

from aliengo_policy.graph import REAL_ARGUMENTS, SIM_ARGUMENTS

tyro = pytest.importorskip("tyro", reason="training is not installed")

PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "models/*.md", "ros2_ws/src/*/*.md")
    for page in ROOT.glob(pattern)
    if "aliengo_policy" not in page.relative_to(ROOT).parts
)
SCRIPTS = {path.stem for path in (ROOT / "training" / "scripts").glob("*.py")}
PROGRAMS = ("bringup", "preflight", "benchmark", "bags.report", "bags.replay")
OTHERS = ("cd", "colcon", "conda", "docker", "export", "git", "pip", "ping", "pytest", "rosdep")
OTHERS += ("source", "sudo", "tar", "torchrun")
"""First words of commands that are not ours to parse."""
CHECKED = r"(python )?\S+\.py |python -[mc] |make |ros2 |--\w"
MOTION_COMMANDS = ("check", "plot", "play", "mirror", "synthesize", "retarget")
ARGUMENTS = {
    "real.launch.py": {argument.name for argument in REAL_ARGUMENTS},
    "sim.launch.py": {argument.name for argument in SIM_ARGUMENTS},
}


class ParsedError(Exception):
    """Raised where a program would begin to work."""


def shown() -> Iterator[tuple[str, str]]:
    """Page and command, for every command of every page; alternatives (``a|b``) one by one."""
    for page in PAGES:
        for line in commands(page):
            for command in line.split(" && "):
                choices = re.search(r"\w+(\|\w+)+", command)
                for choice in choices[0].split("|") if choices else [""]:
                    one = command.replace(choices[0], choice) if choices else command
                    yield str(page.relative_to(ROOT)), one


def of_kind(pattern: str) -> list[Any]:
    """The commands that begin with a pattern, as test parameters."""
    found = {pair: None for pair in shown() if re.match(pattern, pair[1])}
    return [pytest.param(command, id=f"{page}: {command}") for page, command in found]


def main_of(words: list[str]) -> tuple[str, list[str]]:
    """Module and arguments of ``[python] FILE.py ...`` or ``python -m MODULE ...``."""
    words = words[1:] if words[0] == "python" else words
    if words[0] == "-m":
        return words[1], words[2:]
    assert Path(words[0]).stem in SCRIPTS, f"there is no training/scripts/{Path(words[0]).name}"
    return f"aliengo_training.cli.{Path(words[0]).stem}", words[1:]


def help_of(module: str, arguments: list[str]) -> str:
    """What a program prints with ``--help`` after these arguments."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), pytest.raises(SystemExit) as ending:
        importlib.import_module(module).main([*arguments, "--help"])
    assert ending.value.code == 0, f"{module} {arguments} is not there"
    return output.getvalue()


def parse(module: str, arguments: list[str]) -> None:
    """Let a program read its command line, and stop it there.

    Raises:
        SystemExit: If it does not take it.
    """
    take, take_all = tyro.cli, argparse.ArgumentParser.parse_args

    def cli(*args: Any, **options: Any) -> Any:
        take(*args, **options)
        raise ParsedError

    def parse_args(*args: Any, **options: Any) -> Any:
        take_all(*args, **options)
        raise ParsedError

    main = importlib.import_module(module).main
    with pytest.MonkeyPatch.context() as patch:
        if module.startswith("aliengo_training"):
            patch.setattr(tyro, "cli", cli)
        else:
            patch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
        with pytest.raises(ParsedError):
            main(arguments)


@pytest.mark.parametrize("command", of_kind(r"(python )?\S+\.py |python -m "))
def test_our_programs_take_what_is_shown(command: str) -> None:
    module, arguments = main_of(shlex.split(re.sub(r"[\[\]]", "", command)))
    if module == "pytest":
        assert (ROOT / arguments[0]).exists(), f"{command}: there is no {arguments[0]}"
    elif module.endswith("_node") or module == "aliengo_description.generate":
        assert importlib.util.find_spec(module), f"{command}: there is no {module}"
    elif arguments and not re.fullmatch("[a-z]+", " ".join(arguments)):
        parse(module, ["1" if word == "N" else word for word in arguments])
    else:  # a program, or one of its verbs, is named and not run
        help_of(module, arguments)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "scripts").glob("*.py")), ids=lambda path: path.name
)
def test_our_scripts_say_how_they_are_used(path: Path) -> None:
    line = [sys.executable, str(path), "--help"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout[:6]) == (0, "usage:"), done.stderr


@pytest.mark.parametrize("command", of_kind(r"make "))
def test_make_has_the_targets(command: str) -> None:
    rules = (ROOT / "Makefile").read_text(encoding="utf-8")
    for word in shlex.split(command)[1:]:
        name = word.split("=")[0]
        found = rf"^{name} \?=" if "=" in word else rf"^{name}:.*## "
        assert re.search(found, rules, re.MULTILINE), f"{command}: Makefile has no {name}"


@pytest.mark.parametrize("command", of_kind(r"ros2 launch \S"))
def test_launch_files_take_the_arguments(command: str) -> None:
    package, name, *arguments = command.split()[2:]
    assert package == "aliengo_policy"
    assert (ROOT / "launch" / name).is_file(), f"{command}: there is no launch/{name}"
    unknown = {argument.split(":=")[0] for argument in arguments} - ARGUMENTS[name]
    assert not unknown, f"{command}: {name} has no {sorted(unknown)}"


@cache
def known_flags() -> frozenset[str]:
    """Every flag that the help of one of our programs names, and pytest's that we add."""
    calls = [(f"aliengo_policy.{name}", []) for name in PROGRAMS]
    calls += [("aliengo_policy.bringup", [graph]) for graph in ("real", "sim")]
    calls += [(f"aliengo_training.cli.{name}", []) for name in sorted(SCRIPTS - {"motion"})]
    calls += [("aliengo_training.cli.motion", [name]) for name in MOTION_COMMANDS]
    text = (ROOT / "training" / "test" / "conftest.py").read_text(encoding="utf-8")
    text += "".join(help_of(module, arguments) for module, arguments in calls)
    return frozenset(re.findall(r"--[\w.\-]+", text))


@pytest.mark.parametrize("command", of_kind(r"--\w"))
def test_flags_within_the_text_exist(command: str) -> None:
    for flag in re.findall(r"--[\w.\-]*\w", command):
        known = any(name == flag or name.startswith(f"{flag}.") for name in known_flags())
        assert known, f"{flag}: no program of ours has it"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_block_shows_a_command_that_is_not_checked(page: Path) -> None:
    for command in commands(page, inline=False):
        known = re.match(CHECKED, command) or command.split()[0] in OTHERS
        assert known, (
            f"`{command}` is not checked: teach {Path(__file__).name} to, or, if it is no command, "
            "give its block a language (```text)"
        )
