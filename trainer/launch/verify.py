"""Shows that a resumed run equals an unbroken one, on a person's own config.

Owns which runs are made, broken and compared. Each is a process of its own,
`trainer.launch.verify_process`; what differs is found by `verify_compare`. This
process imports no TensorFlow, so that a GPU is left to the others.
"""

import functools
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from trainer import checkpoint, console, storage
from trainer import config as configs
from trainer.config import Config
from trainer.errors import CatganError, CheckpointError
from trainer.launch.scratch import copy_all, remove_all, scratch_folder
from trainer.launch.starting import prepare_if_missing
from trainer.launch.verify_children import Children
from trainer.launch.verify_compare import Difference, differences, within_noise
from trainer.launch.verify_damage import DAMAGES
from trainer.launch.verify_plan import Plan
from trainer.launch.verify_process import Order
from trainer.progress import Interval
from trainer.run_folder import RunFolder

log = logging.getLogger("catgan")


@dataclass(frozen=True)
class Trial:
    """One way in which a run was broken, and what became of it.

    Attributes:
        name: What was done to it.
        resumed_from: The step that the last process went on from.
        tensors: How many were compared.
        different: Those that were not the same, bit for bit.
        ok: Whether it is as it should be.
        note: Why not, where it is not the tensors.
    """

    name: str
    resumed_from: int
    tensors: int
    different: list[Difference]
    ok: bool
    note: str = ""


@dataclass
class Report:
    """What was found.

    Attributes:
        plan: What was tried.
        scratch: Where; removed since.
        compared: What "the same" means in this report.
        trials: One for each way of breaking a run.
        secs: How long it took.
    """

    plan: Plan
    scratch: str
    compared: str = ""
    trials: list[Trial] = field(default_factory=list)
    secs: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether every trial is as it should be."""
        return all(trial.ok for trial in self.trials)

    def raise_if_different(self) -> None:
        """Raises CheckpointError if a resumed run did not equal the unbroken one."""
        bad = [trial for trial in self.trials if not trial.ok]
        if bad:
            first = bad[0]
            what = first.note or (first.different[0].told() if first.different else "")
            raise CheckpointError(
                f"{len(bad)} of {len(self.trials)} resumed runs do not equal the run without a "
                f"stop; {first.name}: {what}",
                expected=self.compared,
                remedy="report this with the config; until it is mended, do not trust a resume "
                "of this config to be exact",
            )


def verify_resume(
    config: Config, plan: Plan, *, scratch: str = "", verbose: bool = False
) -> Report:
    """Trains without a stop, breaks runs off in several ways, resumes and compares them.

    Args:
        config: The person's; its run folder is not touched.
        plan: From `plan`.
        scratch: Folder or bucket prefix for the runs; default: beside the config's run.
        verbose: Show what all processes say, not only the first.

    Raises:
        CatganError: A process did not do what it should; what it said is in the message.
    """
    began = time.monotonic()
    with scratch_folder(scratch or f"{config.run.rstrip('/')}-verify") as here:
        report = Report(plan, here.address)
        log.info("scratch runs of %d steps in %s, removed at the end", plan.steps, here.address)
        with Children(verbose=verbose) as children:
            _Verification(config, report, here, children).run()
    report.secs = time.monotonic() - began
    return report


class _Verification:
    """The runs of one verification."""

    def __init__(
        self, config: Config, report: Report, here: storage.Folder, children: Children
    ) -> None:
        self._config = config
        self._report = report
        self._plan = report.plan
        self._here = here
        self._children = children
        self._killed: dict[tuple[int, ...], storage.Folder] = {}
        self._expected: dict = {}
        self._noise: list[Difference] = []

    def run(self) -> None:
        """Fills the report."""
        self._without_a_stop()
        for name, make in self._ways():
            log.info("%s", name)
            self._report.trials.append(self._resumed(name, *make()))

    def _ways(self) -> list[tuple[str, Callable[[], tuple[storage.Folder, int]]]]:
        """Each way of breaking a run: its name, and what makes the broken run.

        Making it returns the run's folder and the step that a resume should go on from.
        """
        plan = self._plan
        after = " and ".join(str(step) for step in plan.kills)
        ways = [
            (f"killed after step {after}", self._broken_off),
            (f"killed while step {2 * plan.every} was published", self._cut_in_publishing),
        ]
        for what, damage in DAMAGES.items():
            ways.append((f"killed, {what}", functools.partial(self._damaged, damage)))
        return ways

    def _without_a_stop(self) -> None:
        """Trains the run that the others must equal; two of them if bits may differ."""
        # Here, so that the time of the first process is that of the others.
        prepare_if_missing(self._config)
        log.info("the run without a stop")
        try:
            first = self._train("unbroken")
        except CatganError as error:
            if not self._plan.deterministic or "determinis" not in str(error).lower():
                raise
            log.warning("no determinism with this config here: %s", error.what.splitlines()[0])
            remove_all(self._here.child("unbroken"))
            self._plan = self._report.plan = replace(self._plan, deterministic=False)
            first = self._train("unbroken")
        self._tell_how_long()
        self._expected = self._state(first)
        self._report.compared = "the same weights, statistics and slots, bit for bit"
        if not self._plan.deterministic:
            self._noise = differences(self._expected, self._state(self._train("again")))
            self._report.compared = (
                "the same steps, pictures and draws; sums may differ by rounding, as they do "
                f"between two runs without a stop ({len(self._noise)} tensors differ there)"
            )

    def _tell_how_long(self) -> None:
        # A killed run each for the kills and the cut publication, then a resume for each way.
        more = 3 + len(self._plan.kills) + len(DAMAGES)
        more += self._plan.late_kill != self._plan.kills
        more += not self._plan.deterministic
        about = console.duration(more * self._children.slowest_secs)
        log.info("%d more processes, about %s in all", more, about)

    def _train(
        self, name: str, *, kill_at: int = 0, published: int = 0, kill_in: int = 0
    ) -> storage.Folder:
        run = self._here.child(name)
        config = _scratch_config(self._config, run.address, self._plan)
        order = Order(
            run.address, configs.to_yaml(config), self._plan.steps, kill_at, published, kill_in
        )
        self._children.run(order, killed=bool(kill_at or kill_in))
        return run

    def _killed_run(self, kills: tuple[int, ...]) -> storage.Folder:
        """A run whose processes were killed after each of these steps, one after another."""
        if kills not in self._killed:
            name = "killed-" + "-".join(map(str, kills))
            run = self._train(name, kill_at=kills[0], published=self._before(kills[0]))
            for step in kills[1:]:
                order = Order(run.address, "", self._plan.steps, step, published=self._before(step))
                self._children.run(order, killed=True)
            self._killed[kills] = run
        return self._killed[kills]

    def _before(self, step: int) -> int:
        """The checkpoint that was due before the call in which `step` was finished."""
        return (step - 1) // self._plan.every * self._plan.every

    def _copy(self, source: storage.Folder) -> storage.Folder:
        target = self._here.child(f"copy-{secrets.token_hex(3)}")
        copy_all(source, target)
        return target

    def _broken_off(self) -> tuple[storage.Folder, int]:
        return self._copy(self._killed_run(self._plan.kills)), self._before(self._plan.kills[-1])

    def _cut_in_publishing(self) -> tuple[storage.Folder, int]:
        cut = 2 * self._plan.every
        return self._train("cut", kill_in=cut), self._plan.every

    def _damaged(self, damage: Callable[[storage.Folder, int], None]):
        kills = self._plan.late_kill
        newest = self._before(kills[-1])
        run = self._copy(self._killed_run(kills))
        damage(run, newest)
        return run, newest - self._plan.every

    def _resumed(self, name: str, run: storage.Folder, resumes_from: int) -> Trial:
        """Resumes a broken run to the end and compares it."""
        self._children.run(Order(run.address, "", self._plan.steps), killed=False)
        found = self._state(run)
        different = differences(self._expected, found)
        record = RunFolder(run).read_record()
        first_step = record.starts[-1].first_step if record else None
        same = not different or (
            not self._plan.deterministic and within_noise(different, self._noise)
        )
        note = ""
        if first_step != resumes_from:
            note = f"it went on from step {first_step}, not from {resumes_from}"
        remove_all(run)
        return Trial(name, first_step or 0, len(self._expected), different, same and not note, note)

    def _state(self, run: storage.Folder) -> dict:
        return checkpoint.open_step(RunFolder(run), self._plan.steps).load()


def _scratch_config(config: Config, address: str, plan: Plan) -> Config:
    """The person's config with checkpoints of its own and without what a scratch run needs not."""
    return config.model_copy(
        update={
            "run": address,
            "deterministic": plan.deterministic,
            "checkpoint": config.checkpoint.model_copy(
                update={"every_steps": Interval(plan.every, "steps"), "keep_last": plan.steps}
            ),
            "training": config.training.model_copy(update={"max_mins": 0.0}),
            "log": config.log.model_copy(update={"file": "", "tensorboard": False}),
            "cluster": config.cluster.model_copy(update={"workers": 1}),
        }
    )
