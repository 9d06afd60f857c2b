"""The number of engines of a cluster: what a client asks of the launcher that watches over it."""

from collections import namedtuple

#: `supervised`: whether a launcher watches over the cluster. `minimum`, `maximum`: how many engines there are to be, None where nobody has said.
#: `engines`: those of the launcher. `decisions`: pairs (seconds since 1970, reason), the latest last.
ScalingStatus = namedtuple("ScalingStatus", "supervised minimum maximum engines decisions")


class Scaling:
    """The part of the client that changes the number of engines.

    It needs a controller of Apus, and for wishes a launcher that stays with the cluster: `apus start` in the foreground, or in the background
    unless `--no-journal` was said without `--min`, `--max` or `--restart`. Without one they raise RemoteError.
    """

    def scale(self, n, force=False):
        """So many engines from now on: more are started, or some take no more tasks and end.

        None goes that computes, or that was addressed itself (by a DirectView) and may hold names. With `force` those go, too, the first when
        they are done. Returns at once: `wait_for_engines` waits for those that come.
        """
        return self._wish({"min": int(n), "max": int(n), "force": bool(force)})

    def adapt(self, minimum, maximum):
        """As many engines as there is work for, from `minimum` to `maximum`. Raises ValueError where that is no range."""
        if not 0 <= minimum <= maximum:
            raise ValueError(f"from {minimum} to {maximum} engines is no range")
        return self._wish({"min": int(minimum), "max": int(maximum), "force": False})

    def restart_engines(self, targets=None):
        """End engines, whatever they compute, and have others started in their place: all, or the targets. Returns at once."""
        ids = "all" if targets is None or targets == "all" else list(self._build_targets(targets)[1])
        return self._wish({"restart": ids})

    def scaling(self):
        """How many engines there are to be, and why that changed last: a ScalingStatus."""
        return self._wish(None)

    def drain(self, targets, stop=False):
        """These engines take no more balanced tasks; direct requests are served as before. With `stop` they end when they have nothing to do.

        Returns the ids of those that are there.
        """
        ids = list(self._build_targets(targets)[1])
        return self._ask_hub("drain_request", {"ids": ids, "stop": bool(stop)})[0]["ids"]

    def _wish(self, wish):
        content, _ = self._ask_hub("scale_request", {"wish": wish})
        report = content["report"] or {}
        decisions = [(entry["time"], entry["reason"]) for entry in report.get("decisions") or ()]
        return ScalingStatus(content["supervised"], report.get("min"), report.get("max"), report.get("engines", 0), decisions)
