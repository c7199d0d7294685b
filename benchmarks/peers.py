"""Other projects measured beside this one, each in a virtual environment of its own below ``.benchmarks/``."""

import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

import msgspec

__all__ = ["Speed", "measured"]

ROOT = Path(__file__).parents[1]
SECONDS = 8.0
"""Of the processor, half of them for each of the two measurements."""
_INSTALL_SECONDS = 300


class Speed(NamedTuple):
    """Steps a processor second of an environment alone, and with PPO's defaults around it."""

    alone: float
    trained: float


def measured(package: str) -> Speed | None:
    """Measure a package's environment, installing it first; None, with a note, where that cannot be done here."""
    try:
        python = _environment(package)
        command = [str(python), str(ROOT / "benchmarks" / "peer_environments.py"), package, str(SECONDS)]
        done = subprocess.run(command, capture_output=True, check=True, timeout=20 * SECONDS, cwd=python.parent)
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip().splitlines()
        print(f"{package} is not measured: {said[-1] if said else error}", file=sys.stderr)
        return None
    return Speed(**msgspec.json.decode(done.stdout.splitlines()[-1]))


def _environment(package: str) -> Path:
    """Return the interpreter of an environment with the package; torch and stable-baselines3 are those of this one."""
    folder = ROOT / ".benchmarks" / package
    python = folder / "bin" / "python"
    ready = folder / "ready"
    if not ready.exists():
        uv = _uv()
        interpreter = getattr(sys, "_base_executable", sys.executable)
        _run([uv, "venv", "--quiet", "--clear", "--python", interpreter, str(folder)])
        _run([uv, "pip", "install", "--quiet", "--python", str(python), package])
        own = next((folder / "lib").glob("python*")) / "site-packages" / "this_project.pth"
        own.write_text(sysconfig.get_path("purelib") + "\n")
        ready.touch()
    return python


def _uv() -> str:
    """Return a uv that answers: a shim without a program behind it is none."""
    for uv in ("uv", str(ROOT / ".tools" / "bin" / "uv")):
        try:
            _run([uv, "--version"])
        except (OSError, subprocess.SubprocessError):
            continue
        return uv
    raise FileNotFoundError("found no uv; install it, or run `make bench` once")


def _run(command: list[str]) -> None:
    subprocess.run(command, capture_output=True, check=True, timeout=_INSTALL_SECONDS)
