"""An examination of a set-up before it costs money: cluster, storage, pictures, speed, price.

Owns what is looked at and in which order. Each subject has a file of its own,
`doctor_*.py`. Writes only beside the run, under names of its own, and removes it.
"""

import contextlib
from collections.abc import Callable, Iterator

from trainer import storage
from trainer.config import Config
from trainer.launch import doctor_storage, doctor_trial, ray_address
from trainer.launch.finding import Diagnosis, Finding, examined, ok, warning
from trainer.launch.starting import Options, on_cluster
from trainer.run_folder import RunFolder

Tell = Callable[[Finding], None]


def examine(
    config: Config,
    address: str | None,
    tell: Tell = lambda finding: None,
    *,
    trial_secs: float = doctor_trial.TRIAL_SECS,
) -> Diagnosis:
    """Looks at everything that a run of this config needs.

    Args:
        config: With absolute addresses, or relative ones of this machine.
        address: Of a Ray cluster (`auto`, `local`, `HOST:PORT`); None: as the config wants it.
        tell: Called with each finding as it is made.
        trial_secs: How long a piece of the run trains; 0: it is left out.
    """
    diagnosis = Diagnosis()

    def found(findings: Iterator[Finding]) -> bool:
        """Tells findings; returns whether none is a failure."""
        new = []
        for finding in findings:
            tell(finding)
            new.append(finding)
        diagnosis.findings += new
        return all(finding.state != "failure" for finding in new)

    joined = ray_address.meant(address) if on_cluster(config, Options(address=address)) else None
    with contextlib.ExitStack() as stack:
        if joined is not None:
            there = found(examined("cluster", lambda: _cluster(config, joined, stack)))
        else:
            there = found(examined("this machine", lambda: _this_machine(config)))
        stored = found(examined("run folder", lambda: doctor_storage.bucket(config)))
        pictured = found(examined("data set", lambda: doctor_storage.dataset(config)))
        if trial_secs and there and stored and pictured:
            trial = lambda: _trial(config, joined, diagnosis, trial_secs)  # noqa: E731
            found(examined("a piece of the run", trial))
        elif trial_secs:
            found(iter([_no_trial()]))
    return diagnosis


def _no_trial() -> Finding:
    return warning(
        "a piece of the run",
        "was not tried: speed, memory, grace period and cost are not known",
        "mend what failed above, then ask again",
    )


def _this_machine(config: Config) -> Iterator[Finding]:
    from trainer.launch import doctor_cluster

    yield doctor_cluster.here()
    if config.cluster.gpus_per_worker:
        yield from doctor_cluster.gpu_findings("this machine", doctor_cluster.look_at_gpu())


def _cluster(config: Config, address: str, stack: contextlib.ExitStack) -> Iterator[Finding]:
    """Connects, for as long as the examination lasts, and asks the nodes."""
    from trainer.launch import doctor_cluster
    from trainer.launch.ray_cluster import connected_for
    from trainer.launch.ray_package import training_mark

    yield doctor_cluster.here()
    cluster = stack.enter_context(connected_for(config.cluster, address))
    yield ok("cluster", f"connected to {'one of this machine' if cluster.is_own else address}")
    if not cluster.is_own:
        yield from doctor_cluster.versions(training_mark())
    yield from doctor_cluster.room(config)
    yield from doctor_cluster.gpus(config)


def _trial(
    config: Config, address: str | None, diagnosis: Diagnosis, secs: float
) -> Iterator[Finding]:
    trial = doctor_trial.tried(config, address, secs)
    record = RunFolder(storage.open_folder(config.run)).read_record()
    done = record.step if record else 0
    left = doctor_trial.left_secs(config, trial, done)
    diagnosis.figures |= {
        "start_secs": trial.start_secs,
        "step_secs": trial.step_secs,
        "grid_secs": trial.grid_secs,
        "checkpoint_secs": trial.checkpoint_secs,
        "checkpoint_bytes": trial.checkpoint_bytes,
        "left_secs": left,
        "cost": doctor_trial.cost(config, left),
    }
    yield from doctor_trial.findings(config, trial)
    yield doctor_trial.estimate(config, trial, done)
