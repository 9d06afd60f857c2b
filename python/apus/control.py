"""What a client asks of engines beside tasks: aborting, clearing, signals, shutdown, Dask."""

from . import error
from .wire import EngineFunction

_HUB, _CONTROL = 0, 1


class Control:
    """The part of the client that controls engines."""

    def _control(self, targets, kind, content, block):
        ids = self._build_targets(targets)[1]
        result = self._ask(_CONTROL, ids, kind, content)
        if not block:
            return result
        result.result()
        return None

    def _blocks(self, block):
        return self.block if block is None else block

    def send_signal(self, sig, targets=None, block=None):
        """Send a signal, by number or name, to engines."""
        return self._control(targets, "signal_request", {"sig": int(sig) if isinstance(sig, int) else sig}, self._blocks(block))

    def clear(self, targets=None, block=None):
        """Forget everything that engines have in their namespaces."""
        return self._control(targets, "clear_request", {}, self._blocks(block))

    def abort(self, jobs=None, targets=None, block=None):
        """Take back tasks that have not begun: ids or AsyncResults; by default all that are outstanding.

        `AsyncResult.cancel` also interrupts what has begun. Raises TypeError for other jobs.
        """
        from .asyncresult import AsyncResult

        block = self._blocks(block)
        if jobs is None:
            messages, others = self._outstanding_messages(), []
        else:
            messages, others = [], []
            jobs = [jobs] if isinstance(jobs, (str, AsyncResult)) else list(jobs)
            for job in jobs:
                if isinstance(job, AsyncResult):
                    messages += job._children
                    others += [] if job._children else job.msg_ids
                elif isinstance(job, str):
                    message = self._find_message(job)
                    if message is None:
                        others.append(job)
                    else:
                        messages.append(message)
                else:
                    raise TypeError(f"Invalid msg_id type {job!r}, expected str or AsyncResult")
        self._dispatcher.abort([message.number for message in messages if message.reply is None], False)
        if others and jobs is not None:
            # Other clients' tasks: the engines are told.
            return self._control(targets, "abort_request", {"msg_ids": others}, block)
        return None

    def shutdown(self, targets="all", restart=False, hub=False, block=None):
        """End engines; with `hub`, all engines and the controller.

        Raises NotImplementedError for `restart` (Cluster.restart_engines does that).
        """
        if restart:
            raise NotImplementedError("Engine restart is not yet implemented")
        block = self._blocks(block)
        try:
            ids = self._build_targets("all" if hub else targets)[1]
        except error.NoEnginesRegistered:
            ids = []
        result = self._ask(_CONTROL, ids, "shutdown_request", {"restart": False}) if ids else None
        failure = None
        if result is not None and (block or hub):
            failure = result.exception()
            if getattr(failure, "ename", None) == "EngineError":
                # It was gone before it had answered: as it should be.
                failure = None
        if hub:
            self._ask_hub("shutdown_request")
            if failure is None:
                self.close()
        if failure is not None:
            raise failure

    # -- Dask

    def become_dask(self, targets="all", port=0, nanny=False, scheduler_args=None, **worker_args):
        """Turn the cluster into one of Dask: the controller runs a scheduler, the engines are workers. Returns a distributed.Client.

        nanny: workers in processes of their own. scheduler_args, worker_args: for their constructors; workers have one thread by default.
        """
        import distributed

        view = self.direct_view(targets)
        scheduler_args = dict(scheduler_args or {})
        if port:
            scheduler_args.setdefault("port", port)
        scheduler, _ = self._ask_hub("become_dask_request", {"scheduler_args": scheduler_args})
        worker_args.setdefault("nthreads", 1)
        view.apply_sync(_become_dask_worker, address=scheduler["address"], nanny=nanny, **worker_args)
        return distributed.Client(scheduler["address"])

    def stop_dask(self, targets="all"):
        """End what `become_dask` has begun."""
        view = self.direct_view(targets)
        self._ask_hub("stop_distributed_request")
        view.apply_sync(_stop_dask_worker)

    become_distributed = become_dask
    stop_distributed = stop_dask


_become_dask_worker = EngineFunction("ipyparallel.util:become_dask_worker")
_stop_dask_worker = EngineFunction("ipyparallel.util:stop_distributed_worker")
