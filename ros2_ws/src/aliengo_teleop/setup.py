"""Installs aliengo_teleop as an ament_python package."""

from setuptools import find_packages, setup

NAME = "aliengo_teleop"

setup(
    name=NAME,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
    maintainer="Aliengo policy maintainers",
    maintainer_email="maintainers@aliengo-policy.invalid",
    description="Joystick, keyboard and wireless remote to velocity commands and mode requests.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "teleop_node = aliengo_teleop.teleop_node:main",
            "keyboard_node = aliengo_teleop.keyboard_node:main",
            "gamepad_node = aliengo_teleop.gamepad_node:main",
        ],
    },
)
