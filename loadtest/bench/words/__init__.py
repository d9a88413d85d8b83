"""Whether each reason of the server's word reaches a player, and is counted on its way."""
