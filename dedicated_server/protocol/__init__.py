"""The fast lane's wire: connect tokens, handshake, sealed datagrams, snapshots; see ``PROTOCOL.md``.

``connect_token`` is for who issues tokens, ``client`` for who plays, ``server_wire`` for the game server.
"""
