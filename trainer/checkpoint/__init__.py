"""Checkpoints: all or nothing, proved whole, out of training's way.

Owns what a checkpoint is (`format`), when it counts (`rule`), how it is written
behind training's back (`writer`, `publish`), what is deleted (`retention`), how it
is found and loaded (`reader`, `content`) and how a start takes a run over
(`begin`). Knows NumPy arrays by name, not what they mean; knows no TensorFlow.
"""

from trainer.checkpoint.begin import Begun, begin, claim, refuse_if_taken_over, settle
from trainer.checkpoint.content import Checkpoint, describe
from trainer.checkpoint.reader import Listed, find_newest, list_all, open_address, open_step
from trainer.checkpoint.retention import check_space
from trainer.checkpoint.writer import CheckpointStore

__all__ = [
    "Begun",
    "Checkpoint",
    "CheckpointStore",
    "Listed",
    "begin",
    "check_space",
    "claim",
    "describe",
    "find_newest",
    "list_all",
    "open_address",
    "open_step",
    "refuse_if_taken_over",
    "settle",
]
