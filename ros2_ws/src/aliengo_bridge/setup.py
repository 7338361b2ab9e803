"""Install the bridge as an ament_python package."""

from setuptools import find_packages, setup

NAME = "aliengo_bridge"

setup(
    name=NAME,
    version="0.1.0",
    packages=find_packages(exclude=["test"]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
    ],
    install_requires=["setuptools", "numpy"],
    extras_require={"test": ["pytest"]},
    zip_safe=True,
    maintainer="Aliengo policy maintainers",
    maintainer_email="maintainers@aliengo-policy.invalid",
    description="Links, safety supervisor and ROS 2 node between the Aliengo and topics.",
    license="Apache-2.0",
    entry_points={"console_scripts": ["bridge_node = aliengo_bridge.bridge_node:main"]},
)
