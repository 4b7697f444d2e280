import dataclasses
import json
import subprocess
import sys
import types

import pytest

import siamjax
from siamjax import cli


@dataclasses.dataclass(frozen=True)
class Command:
    """A command that answers as told."""

    how: str = "well"
    """What happens."""
    sequence_length: int = 3
    json: bool = False

    def run(self):
        if self.how == "wrong":
            raise ValueError("how: expected a good value, got 'wrong'")
        if self.how == "missing":
            raise FileNotFoundError(2, "No such file or directory", "clip.mp4")
        if self.how == "stopped":
            raise KeyboardInterrupt
        return {"how": self.how, "length": self.sequence_length}


@pytest.fixture(autouse=True)
def _command(monkeypatch):
    module = types.ModuleType("siamjax.cli.probe")
    module.Command = Command
    monkeypatch.setitem(sys.modules, "siamjax.cli.probe", module)
    monkeypatch.setitem(cli.COMMANDS, "probe", "answer as told")
    monkeypatch.setattr(cli, "enable_compile_cache", lambda: None)


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"siamjax {siamjax.__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["help"], []])
def test_help_lists_every_command(arguments, capsys):
    assert cli.main(arguments) == (0 if arguments else 2)
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in cli.COMMANDS)
    assert siamjax.__version__ in out


def test_unknown_command(capsys):
    assert cli.main(["trakc", "x.mp4"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("siamjax: error: unknown command 'trakc': did you mean 'track'?")
    assert captured.err.count("\n") == 1
    assert cli.main(["qqq"]) == 2
    assert "did you mean" not in capsys.readouterr().err


def test_summary_is_the_last_line_of_stdout_with_json(capsys):
    assert cli.main(["probe", "--sequence-length", "7", "--json"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out.splitlines()[-1]) == {"how": "well", "length": 7}
    assert cli.main(["probe"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("how", "words"), [("wrong", "a good value"), ("missing", "clip.mp4")])
def test_errors_are_one_line_and_status_2(how, words, capsys):
    assert cli.main(["probe", "--how", how]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("siamjax: error: ")
    assert words in captured.err
    assert captured.err.count("\n") == 1


def test_interrupt_is_130(capsys):
    assert cli.main(["probe", "--how", "stopped"]) == 130
    assert capsys.readouterr().err == "siamjax: interrupted\n"


def test_unknown_flag_suggests(capsys):
    with pytest.raises(SystemExit) as exit:
        cli.main(["probe", "--sequence-lenght", "7"])
    assert exit.value.code == 2
    captured = capsys.readouterr()
    assert "--sequence-length" in captured.err
    with pytest.raises(SystemExit) as exit:
        cli.main(["probe", "--sequence-length", "many"])
    assert exit.value.code == 2


def test_help_of_a_command(capsys):
    with pytest.raises(SystemExit) as exit:
        cli.main(["probe", "--help"])
    assert exit.value.code == 0
    out = capsys.readouterr().out
    assert "siamjax probe" in out
    assert "Answer as told." in out
    assert "What happens." in out


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cli.cache_folder() == tmp_path / "siamjax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cli.cache_folder() == tmp_path / ".cache" / "siamjax"


def test_the_module_is_the_command_line_and_starts_light():
    code = (
        "import sys; from siamjax import cli; status = cli.main(['--version']);"
        "print(sorted({'orbax', 'grain', 'matplotlib', 'torch', 'av'} & set(sys.modules)), status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"siamjax {siamjax.__version__}", "[] 0"]
    done = subprocess.run(
        [sys.executable, "-m", "siamjax", "nothing"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "unknown command 'nothing'" in done.stderr
