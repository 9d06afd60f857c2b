"""How a sequence is cut into parts, and put together again."""

import sys
from itertools import chain, islice


def is_array(obj):
    """Whether it is a numpy array; numpy is not imported for the question."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(obj, numpy.ndarray)


class Map:
    """Contiguous parts, whose lengths differ by at most one; the longer ones come first."""

    def getPartition(self, seq, p, q, n=None):
        """Part `p` of `q` of a sequence of length `n`. Raises ValueError if there is no such part."""
        n = len(seq) if n is None else n
        if not 0 <= p < q:
            raise ValueError(f"must have 0 <= p <= q, but have p={p},q={q}")
        size, longer = divmod(n, q)
        low = p * size + min(p, longer)
        high = low + size + (p < longer)
        try:
            return seq[low:high]
        except TypeError:
            return list(islice(seq, low, high))

    def joinPartitions(self, listOfPartitions):
        """The sequence of these parts."""
        return self.concatenate(listOfPartitions)

    def concatenate(self, listOfPartitions):
        first = listOfPartitions[0]
        if is_array(first):
            import numpy

            return numpy.concatenate(listOfPartitions)
        if isinstance(first, (list, tuple)):
            return list(chain.from_iterable(listOfPartitions))
        # Single values are what they are.
        return listOfPartitions


class RoundRobinMap(Map):
    """Part `p` has every `q`-th item, beginning with item `p`."""

    def getPartition(self, seq, p, q, n=None):
        return seq[p : len(seq) if n is None else n : q]

    def joinPartitions(self, listOfPartitions):
        first = listOfPartitions[0]
        if is_array(first):
            return self.flatten_array(listOfPartitions)
        if isinstance(first, (list, tuple)):
            return self.flatten_list(listOfPartitions)
        return listOfPartitions

    def flatten_array(self, listOfPartitions):
        import numpy

        first = listOfPartitions[0]
        whole = numpy.empty((sum(len(part) for part in listOfPartitions), *first.shape[1:]), first.dtype)
        for index, part in enumerate(listOfPartitions):
            whole[index :: len(listOfPartitions)] = part
        return whole

    def flatten_list(self, listOfPartitions):
        return [part[row] for row in range(len(listOfPartitions[0])) for part in listOfPartitions if len(part) > row]


def mappable(obj):
    """Whether it can be cut into parts."""
    return isinstance(obj, (tuple, list)) or is_array(obj)


dists = {"b": Map, "r": RoundRobinMap}
