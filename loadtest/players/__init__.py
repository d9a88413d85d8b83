"""The players' journeys: log in, shop, queue alone or with a party, play, and queue again; one coroutine per
player.

``journey`` is the entrance; ``player_records`` holds what happened to each player.
"""
