"""How another process talks to a controller: one JSON request and answer over a Unix socket."""

from __future__ import annotations

import json
import logging
import select
import socket
from collections.abc import Callable
from typing import Any

from linux_qdisc import state

log = logging.getLogger(__name__)
MESSAGE_BYTES = 1 << 16
ANSWER_TIMEOUT_S = 30.0
Answer = dict[str, Any]


class ControlSocket:
    """The controller's end."""

    def __init__(self, key: state.Key) -> None:
        self._path = key.path("sock")
        self._path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        try:
            self._socket.bind(str(self._path))
            self._path.chmod(0o600)
            self._socket.listen(8)
            self._socket.setblocking(False)
        except BaseException:
            self._socket.close()
            raise

    def serve(self, seconds: float, answer: Callable[[dict[str, Any]], Answer]) -> None:
        """Wait at most `seconds` for one request and answer it; what is no request is dropped."""
        readable, _, _ = select.select([self._socket], [], [], seconds)
        if not readable:
            return
        try:
            connection, _ = self._socket.accept()
        except OSError as error:  # who asked has left already
            log.warning("a request was dropped: %s", error)
            return
        with connection:
            connection.settimeout(1.0)
            try:
                request = json.loads(connection.recv(MESSAGE_BYTES))
                if not isinstance(request, dict):
                    raise ValueError("no object")
                connection.send(json.dumps(answer(request)).encode())
            except (OSError, ValueError, RecursionError) as error:
                log.warning("a request was dropped: %s", error)

    def close(self) -> None:
        """Remove the socket."""
        self._socket.close()
        self._path.unlink(missing_ok=True)


def ask(key: state.Key, request: dict[str, Any]) -> Answer | None:
    """Ask the controller of an interface; None if it does not answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.settimeout(ANSWER_TIMEOUT_S)
        try:
            connection.connect(str(key.path("sock")))
            connection.send(json.dumps(request).encode())
            answer = json.loads(connection.recv(MESSAGE_BYTES))
        except (OSError, ValueError):
            return None
    return dict(answer)
