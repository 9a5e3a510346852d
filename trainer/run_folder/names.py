"""Names of everything inside a run folder.

Owns the spelling of each path below a run's address, relative to it, with `/`
between. Does no I/O and knows nothing of what the files hold.
"""

import re

from trainer.errors import ConfigError

RECORD = "run.json"
CONFIG = "config.yaml"
CHECKPOINTS = "checkpoints"
SAMPLES = "samples"
LATEST_SAMPLE = "samples/latest.png"
REAL_SAMPLE = "samples/real.png"
ANSWERS = "samples/answers.json"
WALKS = "samples/walks.png"
METRICS = "metrics"
EVALUATIONS = "evaluations"
NEAREST = "evaluations/nearest.png"
AUDITS = "audits"
TENSORBOARD = "tensorboard"
RAY = "ray"
GENERATOR = "generator.keras"

LAST_STEP = 999_999_999
"""The highest step that a name of nine digits can carry."""

_STEP = re.compile(r"^step-([0-9]{9})$")
_METRICS_PART = re.compile(r"^metrics/start-([0-9]{4,})-from-([0-9]{9})-part-([0-9]{4,})\.jsonl$")
_SAMPLE = re.compile(r"^samples/(step-[0-9]{9})\.png$")
_EVALUATION = re.compile(r"^evaluations/(step-[0-9]{9})\.json$")
_INSIDE_RUN = re.compile(r"^(?P<run>.+)/checkpoints/(?P<step>step-[0-9]{9})(?:/manifest\.json)?/*$")


def step_name(step: int) -> str:
    """Returns `step-000012000` for 12000; raises ConfigError outside 0 to 999,999,999."""
    if not 0 <= step <= LAST_STEP:
        raise ConfigError(
            f"step {step} cannot be named",
            expected=f"a step from 0 to {LAST_STEP}",
            remedy="lower training.steps",
        )
    return f"step-{step:09d}"


def parse_step_name(name: str) -> int | None:
    """Returns the step of `step-000012000`, or None where the name is no such name."""
    match = _STEP.match(name)
    return int(match[1]) if match else None


def parse_step(text: str) -> int:
    """Reads a step as people write it: `step-000012000`, `12000` or `12_000`.

    Raises:
        ConfigError: The text is neither.
    """
    step = parse_step_name(text.strip().rstrip("/"))
    if step is not None:
        return step
    if re.fullmatch(r"[0-9]{1,3}([_,][0-9]{3}){1,2}|[0-9]{1,9}", text.strip()):
        return int(text.strip().replace(",", "").replace("_", ""))
    raise ConfigError(
        f"{text!r} is not the name of a checkpoint",
        expected="a name like step-000012000, or the step alone",
        remedy="list them with `catgan inspect RUN`",
    )


def checkpoint_folder(step: int) -> str:
    """Returns `checkpoints/step-000012000`."""
    return f"{CHECKPOINTS}/{step_name(step)}"


def sample(step: int) -> str:
    """Returns the name of the fixed-latent grid of a step."""
    return f"{SAMPLES}/{step_name(step)}.png"


def parse_sample(name: str) -> int | None:
    """Returns the step of a grid's name, or None for another name."""
    match = _SAMPLE.match(name)
    return parse_step_name(match[1]) if match else None


def evaluation(step: int) -> str:
    """Returns the name of what was measured of a step's checkpoint."""
    return f"{EVALUATIONS}/{step_name(step)}.json"


def parse_evaluation(name: str) -> int | None:
    """Returns the step of an evaluation's name, or None for another name."""
    match = _EVALUATION.match(name)
    return parse_step_name(match[1]) if match else None


def audit(step: int) -> str:
    """Returns the name of the last audit of the stretch that ends at a step's checkpoint."""
    return f"{AUDITS}/{step_name(step)}.json"


def parse_audit(name: str) -> int | None:
    """Returns the step of an audit's name, or None for another name."""
    return parse_step_name(name.removeprefix(f"{AUDITS}/").removesuffix(".json"))


def start_name(number: int) -> str:
    """Returns `start-0003`, by which a start marks what it wrote."""
    return f"start-{number:04d}"


def metrics_part(start: int, first_step: int, part: int) -> str:
    """Returns the name of one part (counted from 1) of a start's metrics rows."""
    return f"{METRICS}/{start_name(start)}-from-{first_step:09d}-part-{part:04d}.jsonl"


def parse_metrics_part(name: str) -> tuple[int, int, int] | None:
    """Returns (start, first step, part) of a metrics part's name, or None for another name."""
    match = _METRICS_PART.match(name)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def split_run_address(address: str) -> tuple[str, int | None]:
    """Splits `RUN/checkpoints/step-000012000` into (RUN, 12000); another address into (it, None).

    Does no I/O, so whether anything is there is not known.
    """
    match = _INSIDE_RUN.match(address)
    if not match:
        return address, None
    return match["run"], parse_step_name(match["step"])
