"""The one console of ours: what a name contains is shown, and never obeyed.

Names of players, servers, folders and columns are other people's text. A clan tag in brackets is no markup,
an escape sequence clears no screen, a line break forges no line, and an override of the reading direction
hides no file's end: such characters are shown as Python writes them, ``\\x1b`` or ``\\u202e``. So a
`Terminal` has markup, emoji codes and highlighting off; a ``str`` is data, and styles are arguments.

What cannot be written ends nothing: a terminal without Unicode shows escapes, and a pipe that nobody reads or
a disk that is full costs text. `run_command` tells of it when the command's work is done.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Collection
from typing import IO, Any, NoReturn, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.status import Status
from rich.table import Table
from rich.text import Text

from launchday import startup
from launchday.errors import LaunchdayError
from launchday.escapes import CONTROLS_IN_LINES, as_escape, escaped
from launchday.tables import FoldingTable

BROKEN_PIPE = 141  # what a shell reports of a program whose reader has gone
USAGE_ERROR = 2
PIPED_COLUMNS = 10_000  # where no terminal folds lines, a name stays in one piece

# What a stream without Unicode shows for our own signs; any other character is shown as an escape.
_PLAIN = ("<=", ">=", "-", "-", "...", "->", "x", "+-", "-", "'", "u", "+", "x", "=")
_WORDS = dict(zip("≤≥–−…→×±·’µ✓✗═", _PLAIN, strict=True))


def data(value: object, style: str = "") -> Text:
    """Return something that is not ours as a piece of a line: whole, in one style, without markup."""
    return Text(escaped(str(value)), style=style)


def table(
    *headings: str, title: str = "", right: Collection[str] = (), boxed: bool = True, header: bool = True
) -> Table:
    """Return a table that cuts no cell: what is too wide is folded, see `launchday.tables`.

    Args:
        headings: one a column.
        title: above it, to the left.
        right: headings of columns of numbers.
        boxed: draw its frame.
        header: show the headings.
    """
    made = FoldingTable(
        title=Text(escaped(title), no_wrap=True, overflow="ignore") if title else None,
        boxed=boxed,
        header=header,
    )
    for heading in headings:
        made.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
    return made


class Terminal(Console):
    """A console that shows text as it is.

    Args:
        stderr: print to standard error.
        file: instead of a standard stream.
        width: columns; by default those of the terminal, and no limit where there is none.
        force_terminal: treat the file as one.
    """

    def __init__(
        self,
        *,
        stderr: bool = False,
        file: IO[str] | None = None,
        width: int | None = None,
        force_terminal: bool | None = None,
    ) -> None:
        surroundings = {name: value for name, value in os.environ.items() if not _is_no_size(name, value)}
        super().__init__(
            stderr=stderr,
            file=file,
            width=width,
            force_terminal=force_terminal,
            markup=False,
            emoji=False,
            highlight=False,
            soft_wrap=True,
            _environ=surroundings,
        )
        # FORCE_COLOR asks for colours in a pipe, which has no columns for all that.
        if width is None and not (self.file.isatty() if force_terminal is None else force_terminal):
            self.width = PIPED_COLUMNS

    def print(self, *objects: Any, **options: Any) -> None:
        """Print; a terminal folds lines between words, so that no figure is broken at its edge."""
        if self.is_terminal and self.width < PIPED_COLUMNS:
            options = {"soft_wrap": False, "crop": False} | options
        super().print(*objects, **options)

    def on_broken_pipe(self) -> None:
        """Say nothing more where nobody reads any more, instead of ending the process and its work."""
        self.quiet = True

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a string as text: escaped, and without markup whatever the options say."""
        options |= {"markup": False, "emoji": False, "highlight": False, "highlighter": None}
        return super().render_str(self._encodable(escaped(text)), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Any:
        """Render; in text that was made elsewhere, control characters but line breaks are escaped."""
        if isinstance(renderable, Text):
            renderable = self._safe(renderable)
        for segment in super().render(renderable, options):
            if segment.control or self._encodes(segment.text):
                yield segment
            else:  # rich's own signs, such as the dots after a text that is too long
                yield Segment(self._encodable(segment.text), segment.style)

    def status(self, status: RenderableType, **options: Any) -> Status:
        """Show a spinner beside a text."""
        if not self.encoding.startswith("utf"):
            options.setdefault("spinner", "line")
        return super().status(data(status) if isinstance(status, str) else status, **options)

    def _safe(self, text: Text) -> Text:
        plain = text.plain
        if CONTROLS_IN_LINES.search(plain) is None and self._encodes(plain):
            return text
        safe = text.blank_copy()
        for at, character in enumerate(plain):
            piece = text[at]
            piece.plain = self._encodable(escaped(character, lines=True))
            safe.append_text(piece)
        return safe

    def _encodable(self, text: str) -> str:
        if self._encodes(text):
            return text
        return "".join(one if self._encodes(one) else _WORDS.get(one) or as_escape(one) for one in text)

    def _encodes(self, text: str) -> bool:
        if text.isascii() or self.encoding.startswith("utf"):
            return True
        try:
            text.encode(self.encoding)
        except (UnicodeEncodeError, LookupError):
            return False
        return True


def show_error(*mistakes: str) -> None:
    """Print on standard error what is wrong: a line for each mistake."""
    console = Terminal(stderr=True)
    for mistake in mistakes:
        console.print(Text.assemble(("error:", "red"), " ", data(mistake)))


def fail(message: str, code: int = 1) -> NoReturn:
    """End a typer command with a line on standard error and an exit code."""
    import typer  # a fifth of a second, for those who have it anyway

    show_error(message)
    raise typer.Exit(code)


def run_command(command: Callable[..., Any]) -> int:
    """Run a typer application and return its exit code; whatever is wrong is one line on standard error.

    Args:
        command: the application, which reads the arguments of this process.

    Returns:
        The command's code; 2 for bad usage; 1 for an error of ours, of the system, and where standard output
        could not be written; 141 where nobody reads it any more; 130 after Ctrl-C.
    """
    code = 0
    try:
        code = _code(command(standalone_mode=False))
    except SystemExit as ended:
        code = _code(ended.code)
    except BrokenPipeError:
        code = BROKEN_PIPE
    except KeyboardInterrupt:
        code = 130
    except LaunchdayError as error:
        show_error(*getattr(error, "lines", (str(error),)))
        code = int(getattr(error, "exit_code", 1))
    except OSError as error:
        show_error(reason(error))
        code = 1
    except Exception as error:
        code = _usage_error(error)
    return finish(code)


def finish(code: int) -> int:
    """Write out what the standard streams keep back; returns the exit code of the process.

    Without it the interpreter does so at its very end, and tells of a fault with a traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except OSError as error:
            _write_nowhere(stream)
            if error.errno != errno.EPIPE:
                show_error(f"standard output cannot be written: {error.strerror}")
                code = code or 1
            elif stream is sys.stdout:
                code = code or BROKEN_PIPE
    if lost := startup.lost_output():
        show_error(f"standard output could not be written: {lost:,} bytes are lost")
        code = code or 1
    return code


def reason(error: OSError) -> str:
    """Return in one line what the system refused, and of which file."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


def _is_no_size(variable: str, value: str) -> bool:
    """Whether it would say that the terminal has no column or no line, on which nothing is shown."""
    return variable in ("COLUMNS", "LINES") and not value.strip("0")


def _usage_error(error: Exception) -> int:
    """Show one of typer's own errors, which have no public base; raise any other again."""
    message = getattr(error, "format_message", None)
    if message is None:
        raise error
    if type(error).__name__ != "NoArgsIsHelpError":  # its help is printed already
        context = getattr(error, "ctx", None)
        tail = "" if context is None else f": see {context.command_path} --help"
        show_error(" ".join(message().split()).rstrip(".") + tail)
    return int(getattr(error, "exit_code", USAGE_ERROR))


def _code(result: object) -> int:
    if isinstance(result, int):
        return result
    return 0 if result is None else 1


def _write_nowhere(stream: TextIO) -> None:
    """Give a stream that cannot be written to the null device, so that it ends in peace."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):  # no stream of the system
        return
