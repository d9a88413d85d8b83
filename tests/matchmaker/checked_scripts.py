"""Scripts with a check before them: each key that a command has must be in KEYS, as strict caches ask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from matchmaker.queue import scripts
from matchmaker.queue.scripts import Script

UNNAMED = "UNNAMED"  # with it the error of such a command begins
BELATED = "BELATED"  # and that of a script that asks for keys after it has changed something

READING = "GET|MGET|EXISTS|TTL|HGET|HMGET|HKEYS|HGETALL|HEXISTS|ZRANGE|ZCARD|LPOS|LLEN|SMEMBERS|XINFO"
# Commands whose first argument is their one key; of all others the cache is asked.
ONE_KEY = (
    "GET|SET|TTL|EXPIRE|PEXPIRE|HGET|HMGET|HKEYS|HGETALL|HEXISTS|HSET|HSETNX|HDEL|HINCRBY|ZADD|ZREM|ZINCRBY|"
    "ZRANGE|ZCARD|XADD|XTRIM|LPOS|LLEN|RPUSH|LREM|SADD|SREM|SMEMBERS"
)


def _set_of(names: str) -> str:
    return "{ " + ", ".join(f"{name} = true" for name in names.split("|")) + " }"


CHECK = f"""
local named_keys, has_changed, cache = {{}}, false, redis
for _, key in ipairs(KEYS) do
  named_keys[key] = true
end
local READING, ONE_KEY = {_set_of(READING)}, {_set_of(ONE_KEY)}
local function checked(call)
  return function(name, ...)
    local keys = ONE_KEY[name] and {{ (...) }} or cache.pcall('COMMAND', 'GETKEYS', name, ...)
    for _, key in ipairs(keys.err and {{}} or keys) do
      if not named_keys[key] then
        error({{ err = '{UNNAMED} ' .. name .. ' ' .. key }})
      end
    end
    has_changed = has_changed or not READING[name]
    return call(name, ...)
  end
end
local calls = {{ call = checked(cache.call), pcall = checked(cache.pcall) }}
local redis = setmetatable(calls, {{ __index = cache }})
local function script()
"""
AFTER = f"""
end
local answer = script()
if has_changed and type(answer) == 'table' and answer[1] == 'NEEDS' then
  return {{ err = '{BELATED} ' .. answer[2] }}
end
return answer
"""


def checked(text: str) -> str:
    """A script that ends with an error where it uses a key that is not named."""
    return CHECK + text + AFTER


@contextmanager
def all_checked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Check every script that is loaded in the block; gives what was found so far."""
    text_of, send = scripts.text_of, Script._send
    found: list[str] = []

    async def watched(script: Script, commands: Sequence[bytes]) -> list[Any]:
        answers = await send(script, commands)
        found.extend(str(each) for each in answers if str(each).startswith((UNNAMED, BELATED)))
        return answers

    with monkeypatch.context() as patched:
        patched.setattr(scripts, "text_of", lambda *names: checked(text_of(*names)))
        patched.setattr(Script, "_send", watched)
        yield found
