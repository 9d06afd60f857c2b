"""For tasks: publishing values while they run."""


def publish_data(data):
    """Publish a dict; the client sees it as `AsyncResult.data` at once. Raises RuntimeError outside of an engine."""
    from .engine import stock

    if stock.kernel is None:
        raise RuntimeError("publish_data must be called from an engine")
    stock.publish_data(data)
