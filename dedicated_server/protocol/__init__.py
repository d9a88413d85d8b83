"""The fast lane's wire: connect tokens, handshake, sealed datagrams, snapshots.

``PROTOCOL.md`` is its specification.

`connect_token` is for whoever issues tokens, `client` for whoever plays, `server` for the game server.
`fields` has a table for each record; both ends and the specification are made from the tables. `modes` has a
card for each mode of play.
"""
