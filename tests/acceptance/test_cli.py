"""The console command from the outside: exit codes, one line per error, and what it prints."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import cli
import configs
from core.errors import AutotradeError, ConfigError, DataError, RefusedError

ROOT = Path(__file__).parents[2]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error of a command line."""
    code = cli.main(arguments)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND; see `autotrade --help`"),
        (["fly"], "invalid choice: 'fly'"),
        (["config"], "the following arguments are required: ACTION; see `autotrade config --help`"),
        (["config", "show", "--nope"], "unrecognized arguments: --nope"),
        (["config", "diff", "testnet"], "the following arguments are required: ENVIRONMENT"),
        (["config", "show", "live"], 'environment: "live" is not known; choose backtest'),
        (["config", "show", "--set", "risk.loss_per_trade=0.5"],
         "risk.loss_per_trade: 0.5 is above the limit 0.03; choose 0.01 to 0.03"),
        (["config", "show", "mainnet", "--set", "risk.rearm=next_day"], "mainnet may only tighten a limit"),
        (["backtest", "--set", "risk.loss_per_trade=0.5"],
         "risk.loss_per_trade: 0.5 is above the limit 0.03; choose 0.01 to 0.03"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_on_standard_error_and_exit_code_2(arguments, message, capsys):
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("autotrade: error: ")
    assert err.count("\n") == 1
    assert message in err


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (DataError("no bars in x; import some"), 1, "p: error: no bars in x; import some"),
        (ConfigError("a\n  b"), 2, "p: error: a b"),
        (RefusedError("no"), 3, "p: error: no"),
        (AutotradeError("no"), 1, "p: error: no"),
        (KeyboardInterrupt(), 130, "p: interrupted"),
        (
            ZeroDivisionError("by\nzero"),
            1,
            "p: internal error: ZeroDivisionError: by zero; AUTOTRADE_DEBUG=1 tells more",
        ),
    ],
)
@pytest.mark.parametrize("debug", [False, True])
def test_whatever_a_command_raises_becomes_a_line_and_a_code(error, code, line, debug, capsys, monkeypatch):
    def action() -> int:
        raise error

    monkeypatch.setenv("AUTOTRADE_DEBUG", "1" if debug else "0")
    assert cli.guarded("p", action) == code
    err = capsys.readouterr().err
    assert err.splitlines()[-1] == line
    assert ("Traceback" in err) == debug


def test_help_lists_every_command_and_exits_0(capsys):
    code, out, err = run(capsys, "--help")
    assert (code, err) == (0, "")
    assert all(name in out for name in cli.COMMANDS)


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_help(command, capsys):
    code, out, _ = run(capsys, command, "--help")
    assert code == 0
    assert out.startswith(f"usage: autotrade {command}")


@pytest.mark.parametrize("environment", configs.environments())
def test_config_show_prints_the_effective_configuration_and_its_hash(environment, capsys):
    config = configs.load(environment)
    code, out, _ = run(capsys, "config", "show", environment)
    assert code == 0
    assert f"# hash {configs.config_hash(config)}" in out
    assert tomllib.loads(out)["risk"]["rearm"] == config.risk.rearm

    code, out, _ = run(capsys, "config", "show", environment, "--json")
    report = json.loads(out)
    assert code == 0
    assert report["hash"] == configs.config_hash(config)
    assert report["config"]["risk"]["loss_per_trade"] == config.risk.loss_per_trade


def test_config_show_takes_overrides(capsys):
    _, out, _ = run(
        capsys, "config", "show", "--set", "risk.loss_per_trade=0.02", "--set", "risk.rearm=explicit", "--json"
    )
    risk = json.loads(out)["config"]["risk"]
    assert (risk["loss_per_trade"], risk["rearm"]) == (0.02, "explicit")


def test_config_diff_prints_exactly_the_values_that_differ(capsys):
    left, right = (configs.leaves(configs.load(name)) for name in ("testnet", "mainnet"))
    expected = {path for path in left if left[path] != right[path]}
    code, out, _ = run(capsys, "config", "diff", "testnet", "mainnet")
    header, *rows = out.splitlines()
    assert code == 0
    assert header.split() == ["path", "testnet", "mainnet"]
    assert {row.split()[0] for row in rows} == expected

    _, out, _ = run(capsys, "config", "diff", "testnet", "mainnet", "--json")
    rows = json.loads(out)["differences"]
    assert {row["path"]: (row["left"], row["right"]) for row in rows} == {p: (left[p], right[p]) for p in expected}

    _, out, _ = run(capsys, "config", "diff", "mainnet", "mainnet", "--json")
    assert json.loads(out)["differences"] == []


def test_the_configuration_is_shown_without_loading_an_engine_or_a_trainer():
    code = (
        "import sys, cli; assert cli.main(['config', 'show', '--json']) == 0; "
        "print([m for m in ('torch', 'nautilus_trader', 'onnxruntime', 'pandas', 'pyarrow') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"


def test_a_reader_that_goes_away_is_no_traceback():
    command = f"{sys.executable} cli.py config show | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["/bin/bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.strip() in {"0", "1"}
