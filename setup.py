"""Which packages there are: those that lie here, and ``cli/`` under the name that it is imported by."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["landscape", "landscape.*"]), "landscape_cli"])
