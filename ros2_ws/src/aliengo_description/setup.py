"""Build rules of the ROS package."""

from glob import glob

from setuptools import find_packages, setup

NAME = "aliengo_description"

setup(
    name=NAME,
    version="0.1.0",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: ["py.typed", "data/*/*.xml", "data/*/*.urdf"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/urdf", glob(f"{NAME}/data/urdf/*")),
        (f"share/{NAME}/mjcf", glob(f"{NAME}/data/mjcf/*")),
    ],
    install_requires=["numpy>=1.23"],
    python_requires=">=3.8",
    extras_require={"test": ["pytest"]},
    zip_safe=False,
    description="The Unitree Aliengo as data: URDF, MJCF, names, limits, masses and kinematics.",
    license="Apache-2.0",
)
