"""The ids of what a client has submitted, in a few bytes whatever their number."""

from bisect import bisect_right
from collections.abc import Sequence, Set
from threading import Lock

_lock = Lock()


class History(Sequence):
    """A list of msg_ids in the order of submission. Ids are made when somebody looks: what is kept are runs of consecutive numbers.

    prefix: an id is this text and its number.
    """

    def __init__(self, prefix):
        self.prefix = prefix
        #: Numbers that were added lately, and are in no run yet. Who has to be quick appends to it.
        self.recent = []
        self._starts = []
        self._stops = []
        #: How many ids there are before each run.
        self._before = []
        self._count = 0

    def add(self, number, count=1):
        """Append `count` consecutive numbers."""
        with _lock:
            self._compress()
            self._extend(number, count)

    def compress(self):
        """Put recent numbers into runs. To be called when there are many."""
        with _lock:
            self._compress()

    def _compress(self):
        count = len(self.recent)
        if count:
            numbers = self.recent[:count]
            # Others may append meanwhile.
            del self.recent[:count]
            start = previous = numbers[0]
            for number in numbers[1:]:
                if number != previous + 1:
                    self._extend(start, previous - start + 1)
                    start = number
                previous = number
            self._extend(start, previous - start + 1)

    def _extend(self, number, count):
        stops = self._stops
        if stops and stops[-1] == number:
            stops[-1] = number + count
        else:
            self._starts.append(number)
            stops.append(number + count)
            self._before.append(self._count)
        self._count += count

    def clear(self):
        """Forget all ids."""
        with _lock:
            del self._starts[:], self._stops[:], self._before[:], self.recent[:]
            self._count = 0

    def numbers(self):
        """The numbers, in order."""
        with _lock:
            self._compress()
            runs = list(zip(self._starts, self._stops))
        for start, stop in runs:
            yield from range(start, stop)

    def has_number(self, number):
        with _lock:
            self._compress()
            starts, stops = self._starts, self._stops
            position = bisect_right(starts, number) - 1
            if position >= 0 and starts[position] <= number < stops[position]:
                return True
            # Threads that submit at once may have added their runs out of order.
            return any(start <= number < stop for start, stop in zip(starts, stops)) if not _is_sorted(starts) else False

    def _number_at(self, index):
        run = bisect_right(self._before, index) - 1
        return self._starts[run] + index - self._before[run]

    def __len__(self):
        with _lock:
            self._compress()
            return self._count

    def __getitem__(self, index):
        with _lock:
            self._compress()
            if isinstance(index, slice):
                return [self.prefix + str(self._number_at(at)) for at in range(*index.indices(self._count))]
            at = index + self._count if index < 0 else index
            if not 0 <= at < self._count:
                raise IndexError(f"there are {self._count} ids, and none with the index {index}")
            return self.prefix + str(self._number_at(at))

    def __iter__(self):
        prefix = self.prefix
        return (prefix + str(number) for number in self.numbers())

    def __contains__(self, msg_id):
        if not isinstance(msg_id, str) or not msg_id.startswith(self.prefix):
            return False
        text = msg_id[len(self.prefix) :].partition("_")[0]
        return text.isdecimal() and self.has_number(int(text))

    def __eq__(self, other):
        if isinstance(other, (History, list, tuple)):
            return len(self) == len(other) and list(self) == list(other)
        return NotImplemented

    __hash__ = None

    def __repr__(self):
        shown = ", ".join(map(repr, self[-3:]))
        return f"[{'..., ' if len(self) > 3 else ''}{shown}]"


def _is_sorted(starts):
    return all(one < other for one, other in zip(starts, starts[1:]))


class MessageIds(Set):
    """A set of msg_ids that looks at what is under way at the moment.

    find: function msg_id -> message or None. each: function that gives all messages that belong to it.
    """

    def __init__(self, find, each):
        self._find = find
        self._each = each

    @classmethod
    def _from_iterable(cls, ids):
        return set(ids)

    def __contains__(self, msg_id):
        return self._find(msg_id) is not None

    def __iter__(self):
        return iter([message.msg_id for message in self._each()])

    def __len__(self):
        return len(self._each())

    def __bool__(self):
        return bool(self._each())

    def __repr__(self):
        return repr(set(self))

    def copy(self):
        """The ids of this moment, as a set of its own."""
        return set(self)

    def intersection(self, *others):
        return set(self).intersection(*others)

    def difference(self, *others):
        return set(self).difference(*others)

    def union(self, *others):
        return set(self).union(*others)

    def issubset(self, other):
        return set(self).issubset(other)

    def issuperset(self, other):
        return all(msg_id in self for msg_id in other)
