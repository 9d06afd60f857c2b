"""The Python engine: `python -m apus.engine`.

`app` starts it, `kernel` runs requests one after another on the main thread, `serialize` and `canning` speak ipyparallel's object
format, and `shell` brings in IPython when somebody executes code. Registration, heartbeat and control live in `apus._core`, on a thread
that never needs the interpreter.
"""
