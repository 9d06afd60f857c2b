"""The engines of a cluster, as a client knows them."""


class EngineTable(dict):
    """Engine id -> uuid, and the other way round."""

    def __init__(self):
        super().__init__()
        self._ids = {}

    def __setitem__(self, engine_id, uuid):
        super().__setitem__(engine_id, uuid)
        self._ids[uuid] = engine_id

    def __missing__(self, uuid):
        return self._ids[uuid]

    def __contains__(self, key):
        return super().__contains__(key) or key in self._ids

    def get(self, key, default=None):
        try:
            return self[key]
        except KeyError:
            return default

    def pop(self, engine_id):
        uuid = super().pop(engine_id)
        self._ids.pop(uuid, None)
        return uuid


class Engines:
    """The engines that are there, and the ids of those that were.

    ids: sorted list. table: id -> uuid and back. are_all_own: whether each of them is one of Apus's, which read its codecs.
    """

    def __init__(self, present=()):
        self.ids = []
        self.table = EngineTable()
        #: uuid -> id of every engine that ever was.
        self.known = {}
        #: id -> uuid of those that a restarted controller has not back yet: what names them is sent, and waits for them.
        self.awaited = {}
        self._own_awaited = set()
        self._own = set()
        self.are_all_own = False
        for engine_id, uuid, kind, is_own in present:
            self.arrived(engine_id, uuid, kind, is_own)

    def arrived(self, engine_id, uuid, kind, is_own):
        self.table[engine_id] = uuid
        former, self.known[uuid] = self.known.get(uuid), engine_id
        # Swift engines know no pickles at all; they are as foreign to Python's codec as a stock engine is.
        if is_own and kind == "python":
            self._own.add(engine_id)
        if engine_id not in self.ids:
            self.ids = sorted([*self.ids, engine_id])
        if self.awaited:
            self._await_no_longer(former, uuid)
        self._count()

    def departed(self, engine_id):
        if engine_id in self.ids:
            self.ids = [other for other in self.ids if other != engine_id]
            self.table.pop(engine_id)
            self._own.discard(engine_id)
        self._count()

    def awaits(self, engines):
        """These engines, which are not there, are waited for from here on, until they arrive or are given up."""
        for engine_id, uuid, kind, is_own in engines:
            (self._own_awaited.add if is_own and kind == "python" else self._own_awaited.discard)(engine_id)
            self.awaited[engine_id] = uuid

    def gives_up(self, engines):
        """These will not come."""
        for engine_id, uuid, _, _ in engines:
            self._await_no_longer(engine_id, uuid)

    def _await_no_longer(self, engine_id, uuid):
        # Another one may have had the same id since.
        if self.awaited.get(engine_id) == uuid:
            del self.awaited[engine_id]
            self._own_awaited.discard(engine_id)

    def _count(self):
        self.are_all_own = bool(self.ids) and len(self._own) == len(self.ids)

    def are_own(self, ids):
        """Whether all of these are Apus's Python engines."""
        if self.awaited:
            return all(engine_id in (self._own if engine_id in self.ids else self._own_awaited) for engine_id in ids)
        return self.are_all_own or self._own.issuperset(ids)

    def uuid(self, engine_id, may_wait=True):
        """The name of an engine that is there or, with `may_wait`, is awaited. Raises KeyError."""
        # It may come back, or be awaited, between two looks.
        for names in (self.table, self.awaited, self.table) if may_wait else (self.table,):
            uuid = dict.get(names, engine_id)
            if uuid is not None:
                return uuid
        raise KeyError(engine_id)
