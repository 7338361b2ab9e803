"""Build rules of the ROS package. MuJoCo is not in the ROS index: ``pip install mujoco``."""

from setuptools import find_packages, setup

NAME = "aliengo_sim"

setup(
    name=NAME,
    version="0.1.0",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: ["py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
    ],
    install_requires=["setuptools", "numpy", "mujoco>=3.2"],
    extras_require={"test": ["pytest"]},
    zip_safe=False,
    maintainer="Aliengo policy maintainers",
    maintainer_email="maintainers@aliengo-policy.invalid",
    description="The digital twin: a MuJoCo Aliengo behind the real robot's UDP protocol.",
    license="Apache-2.0",
    entry_points={"console_scripts": ["sim_node = aliengo_sim.sim_node:main"]},
)
