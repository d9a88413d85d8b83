"""The errors of this package, drawn as a tree; each class says when it is raised and what the caller may do.

::

    DedicatedServerError
    ├── SodiumMissingError            libsodium is missing or too old (native.sodium_library)
    ├── ConnectTokenError             a connect token cannot be used (protocol.connect_token)
    ├── ClientCapacityError           all clients of a process are in use (protocol.client.sessions)
    ├── BadRosterError                a match's players are not numbered by entity (simulation.match)
    ├── UnknownModeError              a match is asked for in a mode that does not exist (simulation.mode)
    ├── TransportError                a socket cannot be opened (transport.base)
    │   ├── PortInUseError            another process has the port
    │   └── UnsupportedTransportError the platform lacks the system calls of this transport
    └── RecordingError                a recording cannot be used (recording.file)
        ├── NotARecordingError        the file does not begin as a recording does
        └── DamagedRecordingError     a section is not what was written
"""

from __future__ import annotations


class DedicatedServerError(Exception):
    """Base of all errors of this package. Nothing raises it itself; catch it to catch them all."""
