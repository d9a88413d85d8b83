"""Players who log in by a platform's token: one verifier of OpenID Connect's ID tokens for all platforms.

``issuers`` is the file that names them, ``keys`` fetches and keeps their public keys, ``verifier`` judges a
token.
"""
