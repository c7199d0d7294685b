"""The files that a node is installed with say what they should, and what they name exists."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import cli

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "autotrade@.service"


def settings() -> dict[str, list[str]]:
    """Return the values of the unit by key."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def test_the_unit_restarts_what_failed_and_nothing_that_was_wished_or_refused():
    unit = settings()
    assert unit["Type"] == ["notify"]
    assert float(unit["WatchdogSec"][0]) >= 10
    assert unit["Restart"] == ["always"]
    assert unit["RestartPreventExitStatus"] == ["0 2 3"]
    assert unit["StartLimitIntervalSec"] == ["0"]
    assert unit["EnvironmentFile"] == ["/etc/autotrade/%i.env"]
    assert unit["UMask"] == ["0077"]
    for limit in ("MemoryMax", "LimitNOFILE", "TasksMax"):
        assert limit in unit
    assert "MemoryDenyWriteExecute" not in unit


def test_the_unit_starts_a_command_that_there_is():
    program, command, environment, *rest = settings()["ExecStart"][0].split()
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert Path(program).name in scripts
    assert command in cli.COMMANDS
    assert (environment, rest) == ("%i", ["--json"])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path):
    copy = tmp_path / "autotrade@testnet.service"
    copy.write_text(UNIT.read_text().replace("/opt/autotrade/.venv/bin/autotrade", sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, timeout=60, check=False
    )
    newer = ("RestartSteps", "RestartMaxDelaySec")
    found = [line for line in done.stderr.splitlines() if not any(key in line for key in newer)]
    assert (done.returncode, found) == (0, [])


def test_the_image_is_made_of_what_there_is():
    for line in (DEPLOY / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY") and "--from" not in line:
            assert all((ROOT / name).exists() for name in line.split()[1:-1]), line
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    assert {".git", ".env", "**/*.env", "deploy/secrets"} <= set(ignored)


def test_the_container_is_watched_bounded_and_started_again():
    node = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["node"]
    assert node["restart"] == "unless-stopped"
    assert node["healthcheck"]["test"][1:3] == ["autotrade", "status"]
    assert node["healthcheck"]["test"][2] in cli.COMMANDS
    assert node["command"][0] in cli.COMMANDS
    assert node["cap_drop"] == ["ALL"]
    assert node["read_only"]
    assert {"mem_limit", "pids_limit", "ulimits", "stop_grace_period"} <= node.keys()
    names = {name for name in node["environment"] if name.endswith("_FILE")}
    assert {f"AUTOTRADE_{one}_API_{what}_FILE" for one in ("DEMO", "TESTNET", "MAINNET") for what in ("KEY", "SECRET")
            } == names  # fmt: skip
    assert "secrets/" in (ROOT / ".gitignore").read_text()


def test_compiled_code_is_kept_where_an_installed_program_may_write(tmp_path):
    code = "import numba, core.compiled; print(numba.core.config.CACHE_DIR)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert Path(done.stdout.strip()).parent == tmp_path
