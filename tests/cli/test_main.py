"""The program's door: help, options that all commands have, errors into exit codes."""

import json
import os
import re
import subprocess
import sys

import click
import pytest

from tests.conftest import REPOSITORY
from trainer import errors
from trainer.cli import main

HEAVY = "tensorflow keras numpy pydantic yaml rich ray cv2 PIL google.cloud logging.config"


def in_a_process(code, *arguments, **more):
    """Runs Python code in a process of its own and returns it, ended."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        **more,
    )


class Raises:
    """Gives the program a command `trial` that raises what it is told to."""

    def __init__(self, monkeypatch):
        self.error: BaseException | None = None
        command = click.Command("trial", callback=self._raise)
        monkeypatch.setattr(main, "_load", lambda door: self._with_options(command))

    def _raise(self):
        raise self.error

    @staticmethod
    def _with_options(command):
        known = {parameter.name for parameter in command.params}
        options = main._spoken_options(hidden=True)
        command.params.extend(option for option in options if option.name not in known)
        return command


@pytest.fixture
def raising(monkeypatch, catgan):
    trial = Raises(monkeypatch)

    def run(error, *options):
        trial.error = error
        return catgan("inspect", *options)

    return run


def test_help_lists_the_commands_in_the_order_of_their_use(catgan):
    ended = catgan("--help")
    assert ended.code == 0
    names = re.findall(r"^  ([a-z][a-z-]+) +[A-Z]", ended.out, re.MULTILINE)
    one_gpu = ["prepare", "train", "debug", "tune"]
    checkpoint = ["resume", "inspect", "verify-resume"]
    cluster = ["submit", "status", "logs", "stop", "doctor"]
    look = ["generate", "report", "film", "compare"]
    check = ["evaluate", "outliers", "replay", "audit"]
    assert names == [*one_gpu, *checkpoint, *cluster, *look, *check]
    doors = ["On one GPU", "From a checkpoint", "On a GPU cluster"]
    places = [ended.out.index(door) for door in doors]
    assert places == sorted(places)
    assert "--pictures" in ended.out


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from trainer.cli.main import run; code = run(['--help']);"
        f"heavy = [n for n in '{HEAVY}'.split() if n in sys.modules];"
        "print(heavy, file=sys.stderr); sys.exit(code)"
    )
    ended = in_a_process(code)
    assert (ended.returncode, ended.stderr.strip()) == (0, "[]")


def test_help_of_every_command_leaves_tensorflow_alone():
    names = [name for doors in main.SECTIONS.values() for name in doors]
    code = (
        "import sys; from trainer.cli.main import run;"
        f"codes = [run([name, '--help']) for name in {names}];"
        "print(codes, 'tensorflow' in sys.modules, file=sys.stderr)"
    )
    ended = in_a_process(code)
    assert ended.stderr.strip() == f"{[0] * len(names)} False"
    assert ended.stdout.count("Usage: catgan") == len(names)


def test_version(catgan):
    ended = catgan("--version")
    assert (ended.code, ended.out) == (0, "catgan 0.1.0\n")


def test_the_package_is_the_program():
    ended = subprocess.run(
        [sys.executable, "-m", "trainer", "--version"], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "catgan 0.1.0\n")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["trian", "x"], "catgan train"),
        (["verify", "x"], "verify-resume"),
        (["xyzzy"], "prepare, train"),
        (["configs/debug.yaml"], "catgan train configs/debug.yaml"),
        (["--nonsense"], "--nonsense"),
        (["train", "--nonsense"], "--nonsense"),
        (["resume"], "RUN"),
    ],
)
def test_usage_errors_exit_2_and_name_what_was_meant(catgan, arguments, part):
    ended = catgan(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert part in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.ConfigError, 2),
        (errors.DataError, 3),
        (errors.StorageError, 4),
        (errors.CheckpointError, 5),
        (errors.ClusterError, 6),
        (errors.TrainingError, 7),
    ],
)
def test_our_errors_become_text_and_their_code(raising, kind, code):
    ended = raising(kind("it broke at 7", expected="8", remedy="turn it"))
    assert (ended.code, ended.out) == (code, "")
    assert ended.err == "error: it broke at 7\n  expected: 8\n  do: turn it\n"


@pytest.mark.parametrize(
    ("kind", "code"), [(errors.InterruptedRun, 130), (errors.TerminatedRun, 143)]
)
def test_an_end_that_was_asked_for_is_no_error(raising, kind, code):
    """Whatever its first word is."""
    ended = raising(kind("left at 7", remedy="go on"))
    assert (ended.code, ended.out, ended.err) == (code, "", "left at 7\n  do: go on\n")


def test_an_error_is_one_though_it_begins_as_an_interrupt(raising):
    ended = raising(errors.StorageError("interrupted by the server"))
    assert (ended.code, ended.err) == (4, "error: interrupted by the server\n")


def test_an_unforeseen_error_is_one_line_and_how_to_report_it(raising):
    ended = raising(ZeroDivisionError("division\nby zero"))
    assert ended.code == 1
    first, second = ended.err.splitlines()
    assert first == "internal error: ZeroDivisionError: division by zero"
    assert "--traceback" in second


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), errors.DataError("x")])
def test_a_traceback_on_request(raising, error):
    ended = raising(error, "--traceback")
    assert "Traceback" in ended.err
    assert "in _raise" in ended.err


def test_options_of_all_commands_may_stand_before_the_command_too(catgan, monkeypatch):
    trial = Raises(monkeypatch)
    trial.error = errors.DataError("x")
    assert "Traceback" in catgan("--traceback", "inspect").err
    assert "Traceback" not in catgan("inspect").err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_an_interrupt_exits_130(raising, error):
    ended = raising(error)
    assert (ended.code, ended.err) == (130, "interrupted\n")


def test_a_reader_that_leaves_is_no_error():
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run(
        [sys.executable, "-m", "trainer", "train", "--keys"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_tensorflow_speaks_only_when_asked():
    code = (
        "import sys; from trainer import quiet;"
        "tf = quiet.import_tensorflow(verbose=sys.argv[1] == 'verbose');"
        "tf.function(lambda x: tf.nn.leaky_relu(x @ x))(tf.ones((4, 4)))"
    )
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("TF_", "CUDA", "GRPC"))}
    assert in_a_process(code, "quiet", env=clean).stderr == ""
    assert "oneDNN" in in_a_process(code, "verbose", env=clean).stderr


def test_a_shell_completes_commands_and_options():
    def completed(words: str) -> set[str]:
        env = {**os.environ, "_CATGAN_COMPLETE": "bash_complete", "COMP_WORDS": words,
               "COMP_CWORD": str(len(words.split(" ")) - 1)}  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "trainer"],
            cwd=REPOSITORY,
            env=env,
            capture_output=True,
            text=True,
        )
        return {line.partition(",")[2] for line in done.stdout.splitlines()}

    assert completed("catgan re") == {"resume", "report", "replay"}
    assert "--against" in completed("catgan evaluate --")


def test_a_locale_without_our_letters_costs_letters_alone():
    code = "from trainer.cli import main; import sys; sys.exit(main.run(['train', '--keys']))"
    for encoding in ("latin-1", "ascii"):
        ended = in_a_process(code, env={**os.environ, "PYTHONIOENCODING": encoding})
        assert ended.returncode == 0, ended.stderr
        assert "training.steps" in ended.stdout


def test_json_is_whole_whatever_the_locale(tmp_path):
    (tmp_path / "Kätzchen").mkdir()
    code = "from trainer.cli import main; import sys; sys.exit(main.run(sys.argv[1:]))"
    config = tmp_path / "x.yaml"
    config.write_text("dataset: {source: 'drawn:9'}\n")
    words = ["doctor", str(config), f"run={tmp_path}/Kätzchen/猫", "--dry-run", "--json"]
    ended = in_a_process(code, *words, env={**os.environ, "PYTHONIOENCODING": "latin-1"})
    assert ended.returncode == 0, ended.stderr
    assert "Kätzchen/猫" in json.loads(ended.stdout)["would_examine"][1]
