"""Jobs out of installed packages: their own files, what they require as installed, their command's function."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from wheelhouse import make_wheel

from rjs.errors import UsageError
from rjs.needs import Platform
from rjs.packing import PackingError, Requirements, gather_entry_point

LINUX = Platform("linux", "x86_64")
Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a distribution where this interpreter finds it, as pip does; gives the folder of its modules."""
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(site)

    def put(
        name: str,
        files: Mapping[str, str],
        *,
        version: str = "1.0",
        requires: tuple[str, ...] = (),
        script: str = "",
        editable: bool = False,
        tops: str = "",
    ) -> Path:
        root = tmp_path / "projects" / name if editable else site
        info = site / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        for file, content in files.items():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_text(content)
        lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"]
        (info / "METADATA").write_text("".join([*lines, *(f"Requires-Dist: {each}\n" for each in requires)]))
        if script:
            (info / "entry_points.txt").write_text(f"[console_scripts]\n{script}\n")
        if tops:
            (info / "top_level.txt").write_text(tops)
        recorded = [] if editable else [*files]
        recorded += [f"{info.name}/{each.name}" for each in info.iterdir()] + ["../../bin/tool"]
        if editable:
            url = {"url": root.as_uri(), "dir_info": {"editable": True}}
            (info / "direct_url.json").write_text(json.dumps(url))
            monkeypatch.syspath_prepend(root)
        (info / "RECORD").write_text("".join(f"{each},,\n" for each in [*recorded, f"{info.name}/RECORD"]))
        return root

    return put


MODULE = "import json\n\n\ndef main():\n    return 0\n"


def test_a_pure_package_goes_along_with_its_data_and_without_what_pip_left(install: Install) -> None:
    """Its files, metadata and data are taken, each says of what; neither scripts nor caches nor other packages."""
    install("other", {"other.py": ""})
    install(
        "tool",
        {
            "tool/__init__.py": "",
            "tool/cli.py": MODULE,
            "tool/data/x.txt": "7",
            "tool/__pycache__/cli.pyc": "",
        },
        script="tool-run = tool.cli:main",
    )
    files = gather_entry_point("tool-run", tasks=3)
    assert {file.name: file.why for file in files.files if file.name != "job.toml"} == dict.fromkeys(
        ["tool-1.0.dist-info/METADATA", "tool-1.0.dist-info/entry_points.txt", "tool/__init__.py", "tool/cli.py",
         "tool/data/x.txt"],
        "of tool 1.0",
    )  # fmt: skip
    assert (files.descriptor.name, files.descriptor.entry, files.descriptor.tasks) == (
        "tool-run",
        "tool.cli:main",
        3,
    )
    assert files.warnings == ()


def test_an_editable_install_goes_along_from_where_it_lies(install: Install) -> None:
    """All packages that it states are taken out of its project, and nothing else that lies there."""
    root = install(
        "tool",
        {"tool/cli.py": f"import helper\n{MODULE}", "tool/__init__.py": "", "helper.py": "", "tests/test.py": ""},
        script="tool-run = tool.cli:main", editable=True, tops="tool\nhelper\n",
    )  # fmt: skip
    (root / "tool" / "__pycache__").mkdir()
    files = gather_entry_point("tool-run")
    assert [file.name for file in files.files] == ["helper.py", "job.toml", "tool/__init__.py", "tool/cli.py"]


def test_what_it_requires_is_vendored_in_the_version_that_is_installed(
    install: Install, tmp_path: Path
) -> None:
    """Though a newer one is to be had; requirements for other platforms and of unused extras do not come."""
    wheels = tmp_path / "wheels"
    for version in ("1.0", "2.0"):
        make_wheel(wheels, "lib", {"lib.py": ""}, version=version, requires=["deep"])
        make_wheel(wheels, "deep", {"deep.py": ""}, version=version)
    install("lib", {"lib.py": ""}, requires=("deep",))
    install("deep", {"deep.py": ""})
    install(
        "tool",
        {"tool.py": f"import lib\n{MODULE}"},
        requires=("lib>=1", "absent; sys_platform == 'win32'", "unused; extra == 'all'"),
        script="tool-run = tool:main",
    )
    files = gather_entry_point("tool-run", requirements=Requirements((), (LINUX,), "3.12", wheels))
    assert [file.name for file in files.files if file.name.endswith(".whl")] == [
        "wheels/deep-1.0-py3-none-any.whl",
        "wheels/lib-1.0-py3-none-any.whl",
    ]
    assert files.descriptor.lock == "pylock.toml"


def test_a_compiled_package_is_a_requirement_itself(install: Install, tmp_path: Path) -> None:
    """What is compiled here does not go along: the wheel of the same version for the platform does."""
    wheels = tmp_path / "wheels"
    make_wheel(wheels, "tool", {"tool.py": MODULE}, tag="cp312-cp312-manylinux_2_17_x86_64")
    install(
        "tool",
        {"tool.py": MODULE, "_fast.cpython-311-x86_64-linux-gnu.so": ""},
        script="tool-run = tool:main",
    )
    files = gather_entry_point("tool-run", requirements=Requirements((), (LINUX,), "3.12", wheels))
    assert [file.name for file in files.files] == [
        "job.toml", "pylock.toml", "wheels/tool-1.0-cp312-cp312-manylinux_2_17_x86_64.whl",
    ]  # fmt: skip
    assert list(files.warnings) == ["tool 1.0 comes as a wheel; what it imports is not looked into"]


def test_a_module_that_nobody_states_as_required_is_refused(install: Install) -> None:
    """It is installed here, and on no compute server."""
    install("stray", {"stray.py": ""})
    install("tool", {"tool.py": f"import stray\n{MODULE}"}, script="tool-run = tool:main")
    with pytest.raises(PackingError, match=r"tool\.py:1: stray is not in"):
        gather_entry_point("tool-run")


def test_a_command_that_is_not_there_is_wrong_usage_with_what_was_meant(install: Install) -> None:
    """So is one that two packages have."""
    install("tool", {"tool.py": MODULE}, script="tool-run = tool:main")
    with pytest.raises(UsageError, match="did you mean tool-run"):
        gather_entry_point("tool-rum")
    install("twin", {"twin.py": MODULE}, script="tool-run = twin:main")
    with pytest.raises(UsageError, match="one function of one installed package"):
        gather_entry_point("tool-run")
