"""Where the time of a restart goes."""

import re
import time

from trainer.launch.stages import Stages, Standstill


def test_a_first_attempt_tells_nothing():
    stages = Stages(0.0, 0.0)
    stages.mark("to import")
    assert stages.told() == ""


def test_the_parts_make_up_the_whole():
    now = time.time()
    stages = Stages(now - 9.0, now - 7.0)
    time.sleep(0.2)
    stages.mark("to import")
    told = stages.told()
    found = re.fullmatch(
        r"(\d+\.\d) s from the last step to this one: (\d+\.\d) s to notice, "
        r"(\d+\.\d) s to replace workers, (\d+\.\d) s to import",
        told,
    )
    assert found, told
    whole, *parts = (float(number) for number in found.groups())
    assert parts[0] == 2.0
    assert abs(whole - sum(parts)) < 0.3


def test_a_clock_that_is_behind_gives_no_negative_time():
    now = time.time()
    stages = Stages(now + 5.0, now + 6.0)
    stages.mark("to import")
    assert "-" not in stages.told()


def test_attempts_that_train_nothing_prolong_the_standstill():
    now = time.time()
    standstill = Standstill()
    standstill.ends()  # the first attempt trains
    assert standstill.lost_secs == 0
    standstill.begins(now - 90, now - 88)
    standstill.begins(now - 40, now - 39)  # this one died before its first step
    assert (standstill.since, standstill.noticed_at) == (now - 90, now - 88)
    standstill.ends()
    standstill.begins(now - 10, now - 9)
    standstill.ends()
    assert abs(standstill.lost_secs - (90 + 10)) < 5
