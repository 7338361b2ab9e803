from glob import glob
from pathlib import Path

from setuptools import find_packages, setup

NAME = "aliengo_policy"


def installed(folder: str) -> list[tuple[str, list[str]]]:
    """Every file below a folder of the repository, with its place under share/."""
    files = [path for path in sorted(glob(f"{folder}/**", recursive=True)) if Path(path).is_file()]
    return [(f"share/{NAME}/{Path(path).parent}", [path]) for path in files]


setup(
    name=NAME,
    version="0.1.0",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        *installed("launch"),
        *installed("config"),
        *installed("models"),
    ],
    python_requires=">=3.10",
    install_requires=["setuptools", "numpy", "onnx", "onnxruntime"],
    extras_require={"test": ["pytest"]},
    zip_safe=False,
    maintainer="Aliengo policy maintainers",
    maintainer_email="maintainers@aliengo-policy.invalid",
    description="Runs learned locomotion policies on a Unitree Aliengo over ROS 2 topics.",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "bringup = aliengo_policy.bringup:main",
            "description_node = aliengo_policy.description_node:main",
            "odometry_node = aliengo_policy.odometry_node:main",
            "benchmark = aliengo_policy.benchmark:main",
            "preflight = aliengo_policy.preflight:main",
            "policy_node = aliengo_policy.policy_node:main",
            "recorder_node = aliengo_policy.bags.recorder_node:main",
            "replay = aliengo_policy.bags.replay:main",
            "report = aliengo_policy.bags.report:main",
            "web_node = aliengo_policy.web.web_node:main",
        ],
    },
)
