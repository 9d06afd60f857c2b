"""What a client says about its connection."""


class Session:
    """The identity of a client and how its messages are signed.

    session: its id. key: bytes; empty if messages are not signed. username: as the hub is told.
    """

    def __init__(self, info, session_id, username):
        self.session = session_id
        self.username = username
        self.key = (info.get("key") or "").encode()
        self.signature_scheme = info.get("signature_scheme", "hmac-sha256")
        self.packer = info.get("pack", "json")
        self.unpacker = info.get("unpack", "json")
        #: Signatures are checked in the core; this is for programs that clear it.
        self.digest_history = set()

    def __repr__(self):
        return f"<Session {self.session}>"
