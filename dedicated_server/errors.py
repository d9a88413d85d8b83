"""The errors of this package, drawn as a tree; each class says when it is raised and what the caller may do.

::

    DedicatedServerError
    ├── SodiumMissingError            libsodium is missing or too old (native.sodium_library)
    ├── ConnectTokenError             a connect token cannot be used (protocol.connect_token)
    ├── ClientCapacityError           all clients of a process are in use (protocol.client.sessions)
    ├── BadRosterError                a match's players are not numbered by entity (simulation.match)
    ├── HooksError                    the hooks of a mode do not import or compile (modes.hooks_error)
    ├── TransportError                a socket cannot be opened (transport.base)
    │   ├── PortInUseError            another process has the port
    │   └── UnsupportedTransportError the platform lacks the system calls of this transport
    ├── CardError                     the folder of a mode cannot be used: a line a mistake (cards.mistakes)
    ├── RecordingError                a recording cannot be used (recording.file)
    │   ├── NotARecordingError        the file does not begin as a recording does
    │   ├── UnknownModeRecordedError  the mode of the match is not there
    │   └── DamagedRecordingError     a section is not what was written
    ├── MalformedMatchError           an annotation is no match (match.spec)
    ├── MatchFailedError              a match cannot go on (match.check_out)
    │   └── EveryPlayerRefusedError   none of its players could be leased
    ├── MatchTakenBackError           a match was given up, and its server ends itself (match.check_out)
    ├── FeedVersionError              a spectator feed is of another version (match.spectator_frame)
    ├── ResultsLostError              neither the meta service nor the disk takes results (match.final_commit)
    ├── BackfillUnavailableError      the matchmaker gave no usable answer (match.backfill_request)
    ├── SidecarError                  a call of the Agones SDK failed (agones_sdk)
    │   ├── SidecarUnavailableError   no usable answer: every call may be repeated
    │   └── SidecarRefusedError       an answer with an error: repeating the call is no use
    ├── FleetError                    a call to a fleet failed (fleet.client)
    │   ├── NoServerReadyError        no server is Ready: ask again later
    │   ├── FleetUnavailableError     no usable answer: repeat the call with the same idempotency key
    │   └── FleetRefusedError         the request is wrong: repeating it is no use
    │       ├── UnknownInFleetError   the fleet does not know what was asked for
    │       └── MatchLostError        the match of a key began on a server that is gone
    ├── ConfigurationError            a setting of the fleet cannot be parsed (fleet.configuration)
    ├── WarmUpFailedError             the first warm parent ended before it was warm (fleet.warm.supervisor)
    ├── NoFreePortError               all ports of a pool are taken (fleet.pool.ports)
    ├── IllegalTransitionError        a server asks for a state that may not follow (fleet.pool.states)
    ├── CounterListError              a change is out of range or malformed (fleet.pool.counters_and_lists)
    │   ├── UnknownCounterListError   a server has no counter, list or value of a name
    │   └── DuplicateValueError       a value is added to a list that has it
    ├── NoReadyServerError            no Ready server matches a request (fleet.agones.allocator)
    ├── TooManyStartsError            as many matches are starting as may (fleet.agones.allocator)
    ├── AllocationNotRecordedError    the disk refuses an allocation's line (fleet.agones.allocator)
    ├── MatchAlreadyPlayedError       the match of a key has begun already (fleet.agones.allocator)
    ├── CallRefusedError              a call of the sidecar is malformed or unknown (fleet.agones.sidecar)
    ├── PolicyError                   a document is no policy of Agones' (fleet.autoscaling.policy)
    ├── CronError                     a text is no cron expression (fleet.autoscaling.policies)
    └── ReviewError                   a body is no review of Agones' (fleet.autoscaling.webhook)
"""

from __future__ import annotations


class DedicatedServerError(Exception):
    """Base of all errors of this package. Nothing raises it itself; catch it to catch them all."""
