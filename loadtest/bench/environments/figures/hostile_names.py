"""Names that do more than name, in every place of the commands that show them: each whole, none obeyed.

A name is in brackets, closes a style, is an emoji's code, is read from the right, clears the screen, ends the
line, is half a character, or is 200 characters long. Commands are run as a user runs them; what they print is
looked at byte by byte.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from launchday.escapes import escaped
from launchday.settings import env_name
from loadtest.bench.environments.commands import TRACEBACK, with_variables
from loadtest.bench.environments.harness import Case, Found
from loadtest.bench.options import Options
from loadtest.errors import BenchError

NAMES = (
    "[eu]anna",
    "[/b]bert",
    "[bold red]carl[/]",
    ":skull: 👩‍🚀",
    "שלום",
    "\u202egpj.exe",
    "\x1b]0;owned\x07",
    "\x1b[2Jgone",
    "\x9b2Jgone",
    "two\nlines\r\tof\x0b it",
    "a\u2028b",
    "<b>&amp;</b>'\"",
    "{0}%s%(x)s$HOME",
    "half \udcff",
    "x" * 200,
)
TEXTS = tuple(name for name in NAMES if name.isprintable() or "\udcff" not in name)  # that UTF-8 can say
FILES = tuple(name.replace("/", "-") for name in NAMES)
COMMAND_S = 60.0
TOKEN = "a-token"  # of the stub, which looks at none


class Shown:
    """What commands printed, and what was wrong with it.

    Attributes:
        commands: how many were run.
        wrong: a line for each fault.
    """

    def __init__(self) -> None:
        self.commands = 0
        self.wrong: list[str] = []

    def run(
        self,
        *arguments: str,
        names: Sequence[str] = (),
        codes: Sequence[int] = (0,),
        env: dict[str, str | None] | None = None,
        python: Sequence[str] = ("-m", "launchday.cli"),
    ) -> str:
        """Run a command, and return its output; ``names`` must be in what it printed, as they are shown."""
        self.commands += 1
        done = subprocess.run(
            [sys.executable, *python, *arguments],
            env=with_variables(env or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_S,
            check=False,
        )
        said = (done.stdout + done.stderr).decode(errors="surrogateescape")
        command = " ".join(arguments[:2]) or python[-1]
        if done.returncode not in codes or TRACEBACK.search(said):
            last = said.strip().splitlines()[-1:] or ["it said nothing"]
            self.wrong.append(f"{command} ended with code {done.returncode}: {last[0]}")
        elif escaped(said, lines=True) != said:
            self.wrong.append(f"{command} lets a character through that a terminal obeys")
        else:
            missing = [name for name in names if escaped(name) not in said]
            self.wrong += [f"{command} does not show {escaped(name)[:40]} whole" for name in missing]
        return done.stdout.decode(errors="surrogateescape")

    def json(self, *arguments: str, names: Sequence[str] = (), **more: Any) -> None:
        """Run a command that prints JSON, a value a line; ``names`` must come back as they are."""
        found = set()
        for line in self.run(*arguments, **more).splitlines():
            try:
                found |= set(_texts(json.loads(line)))
            except ValueError:
                self.wrong.append(f"{arguments[0]} prints what is no JSON: {line[:60]}")
        missing = [name for name in names if not any(name in text for text in found)]
        self.wrong += [f"{arguments[0]} --json does not have {escaped(name)[:40]}" for name in missing]

    def page(self, path: Path, names: Sequence[str]) -> None:
        """Look whether names are text in a page: no element is made by one."""
        text = _Text()
        text.feed(path.read_text(encoding="utf-8"))
        if escaped(text.text, lines=True) != text.text:
            self.wrong.append(f"{path.name} has a character that a reader does not see")
        missing = [name for name in names if escaped(name, lines=True) not in text.text]
        self.wrong += [f"{path.name} does not show {name[:40]} as text" for name in missing]

    def found(self) -> Found:
        """Sum up."""
        figures = {"commands": self.commands, "names": len(NAMES), "wrong": self.wrong}
        if self.wrong:
            return Found(False, self.wrong[0], figures)
        return Found(True, f"{self.commands} commands show {len(NAMES)} names whole, none is obeyed", figures)


class _Text(HTMLParser):
    """The text of a page, without scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self._hidden = False

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        """See html.parser."""
        self._hidden = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        """See html.parser."""
        self._hidden = False

    def handle_data(self, data: str) -> None:
        """See html.parser."""
        if not self._hidden:
            self.text += data


def match(_options: Options) -> Found:
    """``launchday match``: tickets and players; files and mistakes in them."""
    shown = Shown()
    team = {"name": "all", "minPlayers": 1, "maxPlayers": 1}
    rules = {"name": "rules", "ruleLanguageVersion": "1.0", "teams": [team]}
    tickets = [{"TicketId": f"t{name}", "StartTime": 0, "Players": [{"PlayerId": name}]} for name in NAMES]
    Path("rules.json").write_text(json.dumps(rules))
    Path("tickets.json").write_text(json.dumps(tickets))
    shown.run("match", "rules.json", "tickets.json", names=[*NAMES, *(f"t{name}" for name in NAMES)])
    shown.json("match", "rules.json", "tickets.json", "--json", names=NAMES)
    more = {"Players": [{"PlayerId": "p", "PlayerAttributes": {name: {"X": 1} for name in NAMES}}]}
    Path("wrong.json").write_text(json.dumps([{"TicketId": "t", "StartTime": 0, **more}]))
    shown.run("match", "rules.json", "wrong.json", codes=(0, 2))
    Path("wrong_rules.json").write_text(json.dumps({**rules, "teams": [{**team, "name": "[/b]\x1b[2J"}]}))
    shown.run("match", "wrong_rules.json", "tickets.json", codes=(2,))
    for name in FILES[::3]:
        shown.run("match", name, "tickets.json", names=[name], codes=(2,))
    return shown.found()


def scenarios(_options: Options) -> Found:
    """Scenarios with such words in them, in files of such names; their figures, pages and comparisons."""
    import yaml

    from loadtest.scenario.reader import SHIPPED

    shown = Shown()
    scenario = yaml.safe_load((SHIPPED / "smoke.yaml").read_text())
    described = "".join(TEXTS[:-1])
    Path("good.yaml").write_text(yaml.safe_dump({**scenario, "description": described}))
    page, figures = Path("[eu] <b>&amp;<-b>\x1b[2J.html"), Path("[/b]".replace("/", "-") + "\n\u202e.json")
    shown.run("simulate", "good.yaml", "--report", str(page), "--save", str(figures), names=[str(page)])
    shown.page(page, TEXTS[:-1])
    saved = json.loads(figures.read_text())
    first, second = Path("[a].json"), Path("<b>b\x1b[2J.json")
    keyed = {name: index for index, name in enumerate(TEXTS)}
    first.write_text(json.dumps({**saved, "names": {name: name for name in TEXTS}, **keyed}))
    second.write_text(json.dumps({**saved, "seed": 1}))
    compared = Path("compared.html")
    shown.run("compare", str(first), str(second), "--report", str(compared), names=[*TEXTS, str(second)])
    shown.page(compared, [name for name in TEXTS if len(name) <= 80])
    shown.json("compare", str(first), str(second), "--json", names=[])
    arguments = ("--vary", "fleet.buffer=1,2", "--seeds", "1", "--jobs", "1", "--report", "sweep.html")
    shown.run("sweep", "good.yaml", *arguments)
    shown.page(Path("sweep.html"), TEXTS[:-1])
    for name in NAMES[1:-1:3]:
        wrong = {**scenario, "name": name, "players": {**scenario["players"], "links": {name: 1.0}}}
        Path("wrong.yaml").write_text(
            yaml.safe_dump({**wrong, name: name}, allow_unicode=True), "utf-8", "replace"
        )
        shown.run("simulate", "wrong.yaml", codes=(2,))
    for name in FILES[::4]:
        shown.run("simulate", name, names=[name], codes=(2,))
        shown.run("simulate", "smoke", "--save", f"nowhere/{name}", names=[name], codes=(2,))
        shown.run("sweep", "smoke", "--vary", name, codes=(2,))
    return shown.found()


def events(_options: Options) -> Found:
    """``launchday events``: rows, columns and folders; and the picture's file."""
    import random
    import uuid

    from rewards.analytics.lake import Lake
    from rewards.events import EventIds, Source, purchase

    shown = Shown()
    folder = Path("[old] \x1b[2J lake")
    source = Source("a producer", "west-europe", ids=EventIds(random.Random(1).getrandbits))
    lake = Lake(folder).open()
    bought = [
        purchase(source, now_s=1.77e9, player_id=n, purchase_id=name, item_id=name, currency=name, price=n)
        for n, name in enumerate(TEXTS)
    ]
    lake.add(bought, {("t", 0): (len(bought), uuid.UUID(int=1))})
    lake.close()
    where = ("--folder", str(folder))
    shown.run("events", "query", "purchases", *where, names=TEXTS)
    shown.json("events", "query", "purchases", "--json", *where, names=TEXTS)
    columns = ", ".join(f'{n} AS "{name.replace(chr(34), chr(34) * 2)}"' for n, name in enumerate(TEXTS))
    shown.run("events", "query", f"SELECT {columns}", *where, names=TEXTS)
    shown.run(
        "events", "query", "SELECT [purchase_id], {'[/b]': item_id} FROM purchase", *where, names=["[/b]"]
    )
    for name in FILES[::4]:
        shown.run("events", "query", f"SELECT {name}", *where, codes=(1, 2))
        shown.run("events", "query", "purchases", "--folder", name, names=[name], codes=(1,))
        shown.run("events", "heat-map", f"nowhere/{name}.png", *where, names=[name], codes=(1,))
    shown.run("replay", FILES[1], names=[FILES[1]], codes=(1,))
    return shown.found()


def fleet(_options: Options) -> Found:
    """``launchday fleet``: whatever a fleet answers."""
    shown = Shown()
    with _fleet_of(NAMES) as url:
        env: dict[str, str | None] = {env_name("fleet_url"): url, env_name("fleet_token"): TOKEN}
        shown.run("fleet", "list", names=NAMES, env=env)
        shown.json("fleet", "list", "--json", names=NAMES, env=env)
        shown.run("fleet", "list", "--servers", names=NAMES, env=env)
        shown.json("fleet", "list", "--servers", "--json", names=NAMES, env=env)
        shown.run("fleet", "get", "a", names=NAMES, env=env)
        shown.run("fleet", "watch", "--seconds", "0.1", names=NAMES, env=env)
        shown.json("fleet", "watch", "--seconds", "0.5", "--json", names=NAMES, env=env)
        for name in TEXTS[1::4]:
            shown.run("fleet", "kill", name, names=[name], env=env)
            shown.run("fleet", "drain", name, names=[name], env=env)
            shown.run("fleet", "get", f"missing{name}", names=[name], codes=(1,), env=env)
        shown.run("fleet", "scale", "[/b]", "3", names=["[/b]"], env=env)
    return shown.found()


def settings(_options: Options) -> Found:
    """Settings, folders and options with such values; lines of services' errors."""
    shown = Shown()
    for name in FILES[::2]:
        os.makedirs(name, exist_ok=True)
        env: dict[str, str | None] = {env_name("state_dir"): name}
        shown.run("doctor", names=[name], env=env)
        shown.run("fleet", "list", names=[name], codes=(2,), env=env)
    for name in TEXTS[1::3]:
        wrong: dict[str, str | None] = {env_name("meta_port"): name, env_name("match_s_by_mode"): name}
        shown.run("doctor", codes=(2,), env=wrong)
        shown.run(codes=(1,), env=wrong, python=("-m", "rewards"))
        shown.run(name, codes=(2,))
        shown.run("doctor", f"--{name}", codes=(2,))
        shown.run("chaos", name, names=[name], codes=(2,))
        shown.run("up", "--kafka", name, names=[name], codes=(2,))
    return shown.found()


def flooded(options: Options) -> Found:
    """A flood of a scenario with such words, whose report lies in a folder of such a name."""
    import yaml

    from loadtest.bench.environments.commands import HANDFUL

    if not options.floods:
        return Found(None, "a flood is not played: leave out --no-floods")
    shown = Shown()
    folder = Path("[old] \x1b[2J <b>x")
    folder.mkdir()
    scenario = yaml.safe_load(HANDFUL.read_text()) | {"description": "".join(TEXTS[:-1])}
    Path("flood.yaml").write_text(yaml.safe_dump(scenario))
    page = folder / "[eu].html"
    shown.run("flood", "flood.yaml", "--report", str(page), names=[str(page)])
    for path in (page, page.with_suffix(".json"), page.with_suffix(".csv")):
        if not path.exists():
            return Found(False, f"the flood left no {path.suffix[1:]}")
    shown.page(page, TEXTS[:-1])
    shown.json("compare", str(page), str(page), "--json")
    return shown.found()


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield key
            yield from _texts(one)


@contextlib.contextmanager
def _fleet_of(names: Sequence[str]) -> Iterator[str]:
    """Serve a fleet whose regions, servers, matches, states and reasons have these names."""
    servers = [_server(name) for name in names]
    fleets = [
        {
            "name": name,
            "counts": {"Ready": 1},
            "replicas": 1,
            "idle_wanted": 1,
            "cordoned": False,
            "draining": False,
            "policy": name,
            "set_by": {"by": name, "at": 0.0},
        }
        for name in names
    ]
    log = [name for name in names for _ in range(1)][-10:]
    server = _server(names[0]) | {
        "history": [{"at": 0.0, "state": name, "reason": name} for name in names],
        "log_tail": log,
        "report": {"phase": names[0], "error": "".join(names)},
    }
    changes = {"epoch": "e", "seq": 1, "lost": False, "changes": [{"kind": name} for name in names]}
    answers: dict[str, Callable[[], Any]] = {
        "/v1/fleets": lambda: {"fleets": fleets},
        "/v1/gameservers": lambda: {"gameservers": servers},
        "/v1/gameservers/a": lambda: server,
        "/v1/changes": lambda: changes,
    }

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the library's name
            path = self.path.partition("?")[0]
            if path in answers:
                self._answer(200, answers[path]())
            else:
                self._answer(404, {"detail": f"nothing is called {unquote(path)}"})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self._answer(200, {"state": names[1], "idle_before": 1, "idle": 2, "reason": names[1]})

        do_PUT = do_DELETE = do_PATCH = do_POST

        def _answer(self, status: int, body: Any) -> None:
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            return

    serving = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=serving.serve_forever, name="a fleet with hostile names")
    thread.start()
    try:
        yield f"http://127.0.0.1:{serving.server_address[1]}"
    finally:
        serving.shutdown()
        thread.join()
        serving.server_close()


def _server(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "region": name,
        "state": name,
        "state_since": 0.0,
        "address": name,
        "node": name,
        "port": 1,
        "pid": 1,
        "match_id": name,
        "start_ms": 1.0,
        "memory_mb": 1.0,
        "cordoned": True,
        "last_health_at": 0.0,
        "report": {},
    }


def _checked(play: Callable[[Options], Found]) -> Callable[[Options], Found]:
    def played(options: Options) -> Found:
        try:
            return play(options)
        except subprocess.TimeoutExpired as late:
            raise BenchError(f"{late.cmd[-1]} was not over within {COMMAND_S:g} s") from late

    return played


CASES = tuple(
    Case(f"hostile_{name}", _checked(play), bound_s=120.0)
    for name, play in (
        ("match", match),
        ("scenarios", scenarios),
        ("events", events),
        ("fleet", fleet),
        ("settings", settings),
        ("flood", flooded),
    )
)
