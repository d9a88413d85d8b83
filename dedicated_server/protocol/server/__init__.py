"""The server's end of the wire: admission, received inputs, snapshots, sealed datagrams."""
