"""Metadata of the distribution ``rjs-cluster``; tool configuration is in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="rjs-cluster",
    version="0.1.0",
    description="Turns the desktops that an organisation already owns into a compute cluster",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    packages=[
        *find_packages(include=["rjs", "rjs.*", "lus", "lus.*", "cs", "cs.*", "ws", "ws.*"]),
        "rjs.examples.mandelbrot",  # `rjs demo` packs it, wherever rjs is installed
    ],
    package_dir={"rjs.examples.mandelbrot": "examples/mandelbrot"},
    package_data={
        "rjs.examples.mandelbrot": ["job.toml"],
        "cs.sandbox": ["etc/*"],  # what a cell has in its /etc
        **{name: ["py.typed"] for name in ("rjs", "lus", "cs", "ws")},
    },
    install_requires=[
        "attrs>=24.2",
        "click>=8.1.7",
        "cryptography>=44",
        "ifaddr>=0.2",
        "msgspec>=0.19",
        "numpy>=1.26",
        "packaging>=26.1",
        "pillow>=10.3",
        "platformdirs>=4.2",
        "pyopenssl>=24.3",
        "rich>=13.7",
        "service-identity>=24.2",
        "twisted>=24.11",
        "watchdog>=6",
        "zeroconf>=0.148",
    ],
    entry_points={
        "console_scripts": ["rjs = rjs.cli:main"],
        # What the command line calls of a role, which it must not import (rjs.cli.group.role_entry).
        "rjs.roles": [
            "ws.init = ws.app:init",
            "ws.run = ws.app:run",
            "ws.follow_orders = ws.offline:follow_orders",
            "ws.backup = ws.backup:backup",
            "ws.restore = ws.restore:restore",
            "ws.settings = ws.config:WsSettings",
            "lus.run = lus.app:run",
            "lus.settings = lus.config:LusSettings",
            "cs.run = cs.app:run",
            "cs.settings = cs.config:CsSettings",
            "cs.benchmark = cs.linpack:measure",
            "cs.benchmark_sizes = cs.linpack:sweep",
            "cs.sandbox = cs.sandbox_choice:holding",
            "cs.trust_store = cs.trust_store:TrustFolder",
            "cs.grant_for = cs.trust_store:grant_for",
        ],
    },
    extras_require={
        "pack": ["uv>=0.9"],  # `rjs pack --requirement`
        "test": [
            "hypothesis>=6.120",
            "import-linter>=2.1",
            "mypy>=1.14",
            "mypy-zope>=1.0.9",
            "pkilint>=0.13",
            "psutil>=6",
            "pytest>=8.3",
            "pytest-timeout>=2.3",
            "ruff>=0.9",
            "types-psutil>=6",
            "uv>=0.9",
        ],
    },
)
