"""Comms: widgets on an engine talk to the client's kernel through messages of their own."""


def install(comm_module, kernel):
    from comm.base_comm import BaseComm, CommManager

    class EngineComm(BaseComm):
        def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **keys):
            content = dict(data={} if data is None else data, comm_id=self.comm_id, **keys)
            kernel.publish(msg_type, f"comm-{self.comm_id}", content, list(buffers) if buffers else None)

    manager = CommManager()
    comm_module.create_comm = EngineComm
    comm_module.get_comm_manager = lambda: manager


def handle(kernel, kind, message):
    """A comm message from a client."""
    import comm

    manager = comm.get_comm_manager()
    getattr(manager, kind)(None, None, message)


def open_comms():
    """The comms that are open: {id: comm}."""
    import comm

    return comm.get_comm_manager().comms
