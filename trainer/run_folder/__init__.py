"""The run folder: every path in a run, its record and its metrics rows.

Owns the names of all files of a run (`names`), `run.json` (`record`, `folder`,
`holder`), the metrics parts (`metrics`) and evaluations. Does not own what a checkpoint holds, see
`trainer.checkpoint`, nor how bytes reach a disk or a bucket, see
`trainer.storage`.
"""

from trainer.run_folder.evaluations import read_evaluations, write_evaluation
from trainer.run_folder.folder import RunFolder
from trainer.run_folder.holder import Holder
from trainer.run_folder.metrics import MetricsLog, read_metrics
from trainer.run_folder.names import parse_step_name, split_run_address, step_name
from trainer.run_folder.record import NewRun, RunRecord, StartRecord

__all__ = [
    "Holder",
    "MetricsLog",
    "NewRun",
    "RunFolder",
    "RunRecord",
    "StartRecord",
    "parse_step_name",
    "read_evaluations",
    "read_metrics",
    "split_run_address",
    "step_name",
    "write_evaluation",
]
