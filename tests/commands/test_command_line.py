"""What may be typed behind run.py: each command has its own options; a misplaced one is told its place."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

import run
from accidents.errors import SettingsError
from commands.arguments import inference as arguments_of_inference
from commands.arguments.app import PIPELINES, build
from commands.arguments.usage_errors import FORMER
from tests.conftest import ROOT

ON_A_STACK = {"--stack", "--params", "--stage"}
FILES = {"--source", "--refresh", "--data-version"}
OPTIONS = {
    "--pipeline train": ON_A_STACK | FILES | {"--config", "--years", "--test-year", "--tune", "--cache"},
    "--pipeline deploy": ON_A_STACK | {"--config", "--version", "--canary", "--shadow"},
    "--pipeline inference": ON_A_STACK | FILES
    | {"--config", "--input", "--output", "--version", "--reasons", "--raw-csv"},
    "--pipeline monitor": ON_A_STACK
    | {"--config", "--source", "--refresh", "--tune", "--input", "--every", "--days", "--last"}
    | {"--decide-only", "--only", "--reason", "--report"},
    "data download": {"--source", "--refresh", "--params"},
    "data check": {"--source", "--params"},
    "replay": ON_A_STACK | FILES | {"--config"},
    "serve": ON_A_STACK | {"--detach"},
    "stop": {"--stack", "--all"},
    "status": {"--stack"},
    "promote": ON_A_STACK,
    "rollback": ON_A_STACK | {"--champion"},
    "clean": {"--stack", "--params", "--yes"},
    "database upgrade": {"--stack"},
    "keys to-database": set(),
    "keys new": {"--name", "--scope", "--hook"},
    "keys revoke": {"--hook"},
    "keys list": {"--hook"},
    "stack list": set(),
    "stack apply": set(),
    "stack check": set(),
    "stack teardown": {"--yes"},
}  # fmt: skip


def cli(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Exit code and everything that was printed."""
    code = run.cli(list(words))
    captured = capsys.readouterr()
    return code, captured.out + captured.err


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def commands(group: Any, path: str = "") -> dict[str, Any]:
    """All commands by what is typed for them."""
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        typed = f"{path} {name}".strip()
        found |= commands(command, typed) if hasattr(command, "commands") else {typed: command}
    return found


def test_each_command_has_its_own_options_and_no_other() -> None:
    declared = {
        typed: {option for one in command.params for option in one.opts if option.startswith("--")}
        for typed, command in commands(typer.main.get_command(build())).items()
    }
    assert declared == OPTIONS


@pytest.mark.parametrize("typed", OPTIONS)
def test_each_command_explains_itself(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = cli(capsys, *typed.split(), "--help")
    assert code == 0
    assert said.startswith(f"Usage: run.py {typed} ")
    for option in OPTIONS[typed]:
        assert f"{option} " in said


def test_the_help_fits_one_screen_and_no_line_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = cli(capsys, "--help")
    assert code == 0
    lines = said.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    assert "..." not in said
    for name in [f"--pipeline {name}" for name in PIPELINES] + ["status", "keys", "stack", "replay"]:
        assert f"\n  {name} " in said.replace("    --", "  --"), name


@pytest.mark.parametrize("former", FORMER)
@pytest.mark.parametrize("words", ["{}", "{} 3", "{}=3", "--stack bare {}", "--pipeline monitor {} 3"])
def test_a_former_option_names_the_command_it_is_now(
    former: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = cli(capsys, *words.format(former).split())
    assert code == 2
    assert said == f"Error: {former} is a command of its own now: python run.py {FORMER[former]}\n"


@pytest.mark.parametrize("words", FORMER.values())
def test_the_commands_that_former_options_name_are_there(words: str) -> None:
    named = [word for word in words.split() if word.islower()]
    assert " ".join(named) in OPTIONS


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--pipeline train --every 1d", "--every does not go with run.py --pipeline train, but with: "
         "--pipeline monitor."),
        ("--every 1d --pipeline train", "--every does not go with run.py --pipeline train"),
        ("--pipeline=deploy --input 2022", "but with: --pipeline inference, --pipeline monitor."),
        ("status --detach", "--detach does not go with run.py status, but with: serve."),
        ("keys revoke x --scope label", "--scope does not go with run.py keys revoke, but with: keys new."),
        ("--years 2018", "--years goes behind what it belongs to: --pipeline train."),
        ("--stack bare status", "--stack goes behind what it belongs to: "),
        ("--pipeline trian", "'trian' is not one of 'train', 'deploy', 'inference', 'monitor'"),
        ("--pipeline train --yeers 2018", "(Possible options: --years)"),
        ("--pipeline train status", "unexpected extra argument(s) (status)"),
        ("--pipeline train --pipeline deploy", "--pipeline"),
        ("train", "'train' is no command but a pipeline: --pipeline train."),
        ("statsu", "Did you mean 'status'?"),
        ("promote", "Missing argument 'VERSION'"),
        ("keys new --scope admin", "--scope"),
        ("--pipeline train --tune -1", "'--tune'"),
    ],
)  # fmt: skip
def test_what_is_misplaced_is_told_in_one_line(
    words: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = cli(capsys, *words.split())
    assert code == 2
    assert said.startswith("Error: ")
    assert said.count("\n") == 1
    assert told in said
    assert "Value error" not in said


@pytest.mark.parametrize(
    "words",
    [
        "--pipeline inference",
        "--pipeline monitor --input 2022 --every 1d",
        "--pipeline monitor --only train --every 1d",
        "--pipeline monitor --only monitor --decide-only",
        "--pipeline monitor --only train --report look.json",
        "--pipeline monitor --every 1d --report look.json",
        "--pipeline monitor --only deploy --input 2022",
        f"--pipeline monitor --input {ROOT / 'data'}",
        "--pipeline monitor --every 1d --reason me",
        "--pipeline monitor --input 2022 --days 3",
        "--pipeline monitor --input 2022 --last 100",
        "--pipeline monitor --days 3 --last 100",
        "keys new --hook --scope label",
    ],
)
def test_options_that_do_not_go_together_are_refused(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = cli(capsys, *words.split())
    assert code == 1
    assert said.startswith("Error: --")


def test_a_version_of_a_years_files_does_not_go_with_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arguments_of_inference, "prepare", lambda _: None)
    with pytest.raises(SettingsError, match=r"--data-version does not go with --input calls\.csv"):
        arguments_of_inference.inference("calls.csv", data_version="1.dir")


def test_paths_of_a_person_are_absolute_for_steps_that_run_in_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[str, str]] = []
    monkeypatch.setattr(arguments_of_inference, "prepare", lambda _: None)
    monkeypatch.setattr(
        "commands.inference.inference",
        lambda params, stack, config, accidents, *_: given.append((params.data.source, accidents)),
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    Path("baac").mkdir()
    Path("calls.csv").touch()
    for source, accidents in (("baac", "./calls.csv"), ("~/baac", "~/calls.csv"), ("data.gouv", "2022")):
        arguments_of_inference.inference(accidents, source=source)
    arguments_of_inference.inference("cals.csv", source="sampel")
    here = (str(tmp_path / "baac"), str(tmp_path / "calls.csv"))
    assert given == [here, here, ("data.gouv", "2022"), ("sampel", "cals.csv")], "a typo is told as typed"


def completions(*words: str) -> set[str]:
    """What bash offers for the last of the words."""
    told = {"COMP_WORDS": "\n".join(["./run.py", *words]), "COMP_CWORD": str(len(words)),
            "_./RUN.PY_COMPLETE": "complete_bash"}  # fmt: skip
    done = subprocess.run(
        [sys.executable, "./run.py"], cwd=ROOT, env={**os.environ, **told}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return set(done.stdout.split())


def test_a_shell_completes_commands_pipelines_options_and_stacks() -> None:
    assert {"status", "serve", "keys"} <= completions("")
    assert completions("--pipeline", "") == set(PIPELINES)
    offered = completions("--pipeline", "train", "--")
    assert OPTIONS["--pipeline train"] <= offered
    assert "--every" not in offered
    stacks = {path.stem for path in (ROOT / "stacks").glob("*.yaml")}
    assert completions("status", "--stack", "") == stacks
    assert completions("stack", "apply", "lo") == {"local", "local-bento", "local-mlflow", "local-seldon"}


@pytest.mark.skipif(not Path("/bin/bash").exists(), reason="bash is not here")
def test_bash_takes_the_completion_that_run_py_shows() -> None:
    script = """
eval "$(_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION=1 ./run.py --show-completion bash)"
complete -p ./run.py
COMP_WORDS=(./run.py roll); COMP_CWORD=1; _runpy_completion ./run.py; echo "${COMPREPLY[@]}"
"""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["/bin/bash", "--norc", "-c", script], cwd=ROOT, env={**os.environ, "PATH": path},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1:] == ["rollback"], done.stderr


END = re.compile(r"[,;:.)]*(?:\s|$)[\[(&#>|].*|[,;:.)]+(?:\s.*|$)")  # where prose goes on, or the shell
QUOTED = re.compile(r"(?:^|[`/ ])run\.py ((?:--?)?[a-z][^`\n]*)", re.MULTILINE)
TEXTS = [
    ROOT / "README.md", ROOT / "Makefile", *(ROOT / "docs").rglob("*.md"), *(ROOT / "configs").glob("*.yaml"),
    *(ROOT / "references").rglob("*.service"), ROOT / "observability" / "alertmanager.yml",
]  # fmt: skip


def quoted(text: str, markdown: bool) -> list[str]:
    """The command lines in a text: in Markdown those in code, elsewhere to the end of the line."""
    if markdown:
        code = [*re.findall(r"```.*?```", text, re.DOTALL), *re.findall(r"`[^`\n]+`", text)]
        text = "\n".join(code)
    return [END.sub("", found).strip() for found in QUOTED.findall(text)]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_command_lines_in_the_documentation_can_be_typed(path: Path) -> None:
    lines = quoted(path.read_text(encoding="utf-8"), path.suffix == ".md")
    assert [(line, wrong) for line in lines if (wrong := _mistake(line))] == []


def test_the_test_above_finds_command_lines_and_mistakes() -> None:
    text = (
        "`python run.py status` and `run.py --status`, and run.py is a file\n```\npython run.py x  # a\n```"
    )
    assert quoted(text, markdown=True) == ["x", "status", "--status"]
    assert [bool(_mistake(line)) for line in quoted(text, markdown=True)] == [True, False, True]


def _mistake(line: str) -> str:
    """What the parser says against a command line; nothing is run. What is left out is no mistake."""
    group = typer.main.get_command(build())
    words, context = shlex.split(line), None
    if {"--install-completion", "--show-completion"} & set(words):  # would do it, here and now
        return ""
    try:
        while True:
            context = group.make_context("run.py", words, parent=context)
            if not hasattr(group, "commands"):
                return ""
            _, group, words = group.resolve_command(context, [*context._protected_args, *context.args])
    except typer.TyperException as error:
        said = error.format_message()
        return "" if "Missing " in said or "requires an argument" in said else said
    except typer.Exit:  # --help
        return ""
