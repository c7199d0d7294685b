"""Who may import whom, read from the source: every import statement counts, also one inside a function."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from configs.schema import SECTIONS
from configs.section import settings_of

ROOT = Path(__file__).parents[1]

PACKAGES = ("core", "configs", "adapters", "actors", "strategies", "training", "venue", "commands", "benchmarks")
ROOTS = ("cli", "composition", "node_runner", "rehearsal", "run_backtest", "run_live", "run_parity", "run_study")
OURS = {*PACKAGES, *ROOTS}

MAY_IMPORT = {
    "core": {"core"},
    "configs": {"configs", "core"},
    "adapters": {"adapters", "configs", "core"},
    "actors": {"actors", "configs", "core"},
    "strategies": {"strategies", "configs", "core"},
    "training": {"training", "adapters", "configs", "core"},
    "commands": OURS - {"benchmarks"},
    "benchmarks": OURS,
    "cli": OURS - {"benchmarks"},
    "composition": {"actors", "strategies", "adapters", "configs", "core"},
    "run_backtest": OURS - {"benchmarks", "training", "run_live", "run_study", "venue"},
    "run_live": OURS - {"benchmarks", "training", "run_study"},
    "node_runner": {"composition", "actors", "strategies", "adapters", "configs", "core"},
    "rehearsal": {"composition", "actors", "strategies", "adapters", "configs", "core"},
    "run_parity": OURS - {"benchmarks", "training", "run_study", "run_live", "venue"},
    "venue": {"venue"},
    "run_study": OURS - {"benchmarks"},
}
"""Packages of ours by importer: decisions know nobody, shells know decisions, only the outermost know everyone."""

CORE_THIRD_PARTY = {"numpy", "numba", "msgspec"}
CORE_NEVER = {
    # I/O
    "io", "os", "pathlib", "shutil", "socket", "ssl", "sqlite3", "subprocess", "tempfile", "urllib", "http",
    # concurrency, and what runs behind the caller's back
    "asyncio", "threading", "multiprocessing", "concurrent", "signal", "atexit", "logging", "sys",
    # the clock and unseeded chance: time arrives as ts_event
    "time", "random", "secrets", "uuid",
}  # fmt: skip

EXCUSED = {("core.compiled", "pathlib")}
"""It names the compiler's cache by a digest of the sources, once, at import."""

ONLY_IN = {
    "nautilus_trader": {"actors", "strategies", "adapters", "run_backtest", "run_live", "node_runner", "benchmarks"},
    "torch": {"training", "benchmarks"},
    "stable_baselines3": {"training", "benchmarks"},
    "sb3_contrib": {"training"},
    "optuna": {"training"},
    "joblib": {"training"},
    "ray": {"training"},
    "gymnasium": {"training", "benchmarks"},
    "onnxruntime": {"adapters", "training"},
    "onnx": {"adapters", "training"},
    "httpx": {"adapters"},
    "aiohttp": {"venue"},
    "cryptography": {"adapters", "venue"},
}
"""Where a package may be imported at all."""

STARTED_BY_NAME = {
    "cli",
    "run_backtest",
    "run_live",
    "run_study",
    "benchmarks.__main__",
    "benchmarks.peer_environments",
}
"""Entry points; `cli` loads ``commands.*`` and `benchmarks` its ``bench_*`` by name."""

TWINS = {"adapters.scripted_policy"}
"""In-memory twins of what is outside: tests are their readers."""

MOST_LINES = 400


def sources() -> dict[str, str]:
    """Return the source of every module of ours by dotted name."""
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    files += [ROOT / f"{name}.py" for name in ROOTS]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text() for path in files}


def imports(source: str, module: str) -> Iterator[str]:
    """Yield the dotted name of all that a source imports, wherever the statement stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                parents = module.split(".")[: -node.level]
                origin = ".".join([*parents, *filter(None, [origin])])
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"importlib.import_module", "__import__"}:
            yield from (str(argument.value) for argument in node.args[:1] if isinstance(argument, ast.Constant))


def violations(module: str, source: str) -> list[str]:
    """Return what a module imports and may not."""
    home = module.partition(".")[0]
    found = []
    for name in dict.fromkeys(imports(source, module)):
        top = name.partition(".")[0]
        if top in OURS and top not in MAY_IMPORT[home]:
            found.append(f"{module} imports {name}, but {home} may import only {sorted(MAY_IMPORT[home])}")
        if top in ONLY_IN and home not in ONLY_IN[top]:
            found.append(f"{module} imports {name}, which only {sorted(ONLY_IN[top])} may")
        if home == "core" and top not in OURS:
            foreign = top not in sys.stdlib_module_names and top not in CORE_THIRD_PARTY
            forbidden = foreign or top in CORE_NEVER or name.startswith("numpy.random")
            if forbidden and (module, top) not in EXCUSED:
                found.append(f"{module} imports {name}, but core decides: no I/O, no clock, no chance, no framework")
    return found


@pytest.mark.parametrize("module", sorted(sources()))
def test_a_module_imports_only_what_its_place_allows(module):
    assert violations(module, sources()[module]) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("core.risk", "def f():\n    import nautilus_trader"),
        ("core.risk", "def f():\n    from time import time_ns"),
        ("core.risk", "if True:\n    import os.path"),
        ("core.risk", "import pandas"),
        ("core.risk", "from adapters.catalog import read_bars"),
        ("core.risk", "from numpy.random import default_rng"),
        ("configs.schema", "def f():\n    from adapters import catalog"),
        ("adapters.catalog", "import torch"),
        ("adapters.catalog", "from training import env"),
        ("actors.ensemble", "class A:\n    def f(self):\n        import adapters.catalog"),
        ("actors.ensemble", "from ..adapters import catalog"),
        ("strategies.rl", "import importlib\nimportlib.import_module('adapters.catalog')"),
        ("training.env", "from nautilus_trader.model import Bar"),
        ("commands.data", "def f():\n    import nautilus_trader"),
        ("run_backtest", "import training.train"),
    ],
)
def test_a_planted_import_is_found(module, source):
    assert len(violations(module, source)) >= 1


def test_what_is_allowed_is_not_reported():
    assert violations("strategies.rl", "from nautilus_trader.trading import Strategy\nimport core.risk, configs") == []
    assert violations("core.risk", "import numpy as np\nfrom typing import NamedTuple\nimport core.compiled") == []
    assert violations("training.train", "def f():\n    import torch\n    from adapters import catalog") == []


def test_every_module_has_a_reader():
    known = sources()
    read = {name for module, source in known.items() for name in imports(source, module) if name != module}
    for module in known:
        package, _, name = module.rpartition(".")
        by_name = package == "commands" or (package == "benchmarks" and name.startswith("bench_"))
        if name == "__init__" or by_name or module in STARTED_BY_NAME | TWINS:
            read.add(module)
    assert sorted(known.keys() - read) == [], "imported by nothing but perhaps a test: give it a reader or remove it"


def test_every_setting_has_a_reader():
    trees = [ast.parse(source) for source in sources().values()]
    read = {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    settings = [setting for section in SECTIONS.values() for setting in settings_of(section)]
    assert [setting.path for setting in settings if setting.name not in read] == []


def test_every_command_is_offered_and_every_offered_command_exists():
    tree = ast.parse((ROOT / "cli.py").read_text())
    table = next(
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "COMMANDS"
    )
    files = {path.stem for path in (ROOT / "commands").glob("*.py") if "def add_parser(" in path.read_text()}
    assert set(ast.literal_eval(table)) == files


def test_no_file_is_longer_than_a_reader_can_hold():
    tests = {str(path.relative_to(ROOT)): path.read_text() for path in sorted((ROOT / "tests").rglob("*.py"))}
    long = {name: text.count("\n") for name, text in {**sources(), **tests}.items() if text.count("\n") > MOST_LINES}
    assert long == {}


def test_every_package_is_in_the_wheel_and_under_the_type_checker():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    shipped = {
        name.removesuffix(".py") for name in project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    }
    typed = {name.removesuffix(".py") for name in project["tool"]["mypy"]["files"]}
    assert OURS - shipped == {"benchmarks"}
    assert typed >= shipped
    folders = {path.parent.name for path in ROOT.glob("*/*.py")} - {"tests"}
    assert folders == set(PACKAGES), "a package that this test does not know"
