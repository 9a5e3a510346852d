"""Whether the head of a joined cluster is still there.

Owns noticing that it is gone, before Ray does: after a minute Ray ends the whole process,
without a word that helps. Does not own what workers do then; their machines' Ray ends them.
"""

import socket
import time

from trainer.errors import ClusterError

_ASK_EVERY_SECS = 2.0
_CONNECT_SECS = 2.0
_AGAIN_SECS = 0.5
# A head with a store of its own may come back; Ray itself waits for a minute.
_PATIENCE_SECS = 20.0


class HeadWatch:
    """Asks the control service of a cluster for a connection every few seconds.

    Args:
        address: `HOST:PORT` of the control service.
        resume_command: What goes on with the run, for the message.
    """

    def __init__(self, address: str, resume_command: str) -> None:
        self._address, self._resume_command = address, resume_command
        host, _, port = address.rpartition(":")
        self._target = (host.strip("[]"), int(port))
        self._asked_at = -_ASK_EVERY_SECS

    def must_answer(self) -> None:
        """Returns at once while it answers; waits for a while where it does not.

        So that what is asked of Ray next finds a head: Ray would wait in native code.

        Raises:
            ClusterError: It did not come back.
        """
        if time.monotonic() - self._asked_at < _ASK_EVERY_SECS:
            return
        began = time.monotonic()
        while why := self._refusal():
            if time.monotonic() - began > _PATIENCE_SECS:
                raise ClusterError(
                    f"the head of the cluster at {self._address} has not answered for "
                    f"{_PATIENCE_SECS:.0f} s: {why}",
                    expected="a head node that lives as long as the run",
                    remedy=f"start the cluster again, then: {self._resume_command}",
                )
            time.sleep(_AGAIN_SECS)
        self._asked_at = time.monotonic()

    def _refusal(self) -> str:
        try:
            socket.create_connection(self._target, _CONNECT_SECS).close()
            return ""
        except OSError as error:
            return error.strerror or str(error)
