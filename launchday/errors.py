"""The errors of this package, drawn as a tree, and what to do about each.

::

    LaunchdayError
    ├── IdentityError             a token or its key (launchday.identity)
    │   ├── InvalidTokenError     a token is malformed, forged or expired: log in again
    │   ├── WeakSecretError       no key, or a short secret: set LAUNCHDAY_IDENTITY_KEYS or …_SECRET
    │   ├── KeyFileError          a key file cannot be read or makes no sense: the text names the key
    │   └── CannotSignError       no key of this process signs such a token: it is another's to sign
    ├── ProblemError              raised in a route, answered as problem details (launchday.problems)
    ├── DeadlineExceededError     a wait used up its time: stop working for who asked (launchday.resilience)
    ├── NoAnswerError             an HTTP call got no answer (launchday.resilience.http_client)
    │   ├── OwnShortageError      no descriptor or port is left here: nobody was asked; raise the limit
    │   ├── NotListeningError     connections are refused: the part is away
    │   └── LateAnswerError       time ran out: it says nothing about the part
    ├── SeasonsError              the table of seasons cannot be used: the text has a line for each mistake
    ├── SettingsError             a variable of the environment is wrong: the text names each
    ├── OutputError               a file cannot be written: the text names it (launchday.outputs)
    ├── LocalTimeError            a zone or a time of a file is wrong (launchday.local_time)
    │   └── UnreadableTimeError   a text is no time: write it as the message says
    ├── FolderError               a folder to be cleared was not made by us: move it away (launchday.folders)
    ├── ReloadRefusedError        what was read again is wrong: the text has a line for each mistake
    ├── UnfitCacheError           the cache would lose what it accepts (launchday.resilience.cache_checks)
    ├── EngineError               an embedded server is missing or did not start (launchday.engines)
    ├── BackendError              the backend did not start (launchday.launcher.backend)
    │   └── StateFolderHeldError  another one runs in the state folder: stop it, or take another folder
    ├── NotReadyError             a process is late at the start (launchday.launcher.readiness)
    ├── BackupError               a backup cannot be made or used, nothing was changed (launchday.cli.backups)
    ├── CompileError              a kernel does not compile (launchday.launcher.kernels)
    └── CommandError              a command ends with one line and an exit code (launchday.cli)

Each class lies in the module that raises it. Every message is one line that says what to do.
"""

from __future__ import annotations


class LaunchdayError(Exception):
    """Base of all errors of this package. Nothing raises it itself; catch it to catch them all."""
