"""A process of bots for tests: in its first life it ends when the first player has logged in."""

import json
import sys

path = sys.argv[1]
try:
    with open(path) as file:
        life = int(file.read()) + 1
except FileNotFoundError:
    life = 1
with open(path, "w") as file:
    file.write(str(life))


def tell(**report: object) -> None:
    print(json.dumps(report), flush=True)


tell(ready=True)
for line in sys.stdin:
    player = json.loads(line)["play"]
    if player == 1:
        tell(player=1, no_seat=True)
    else:
        tell(player=0, name="log in and queue", ms=1.0, error="")
    if life == 1:
        sys.exit(3)
    tell(player=player, over=True)
