"""Where an engine's files are: profile directory, connection file, configuration, startup files."""

import os

from .options import OptionError


def ipython_dir(settings):
    path = settings.get("Application", "ipython_dir") or os.environ.get("IPYTHONDIR")
    return os.path.abspath(os.path.expanduser(path or "~/.ipython"))


def profile_dir(settings):
    """The directory of the profile that the options name. It may not exist."""
    location = settings.get("ProfileDir", "location")
    if not location and settings.get("Application", "profile") is None:
        location = os.environ.get("IPP_PROFILE_DIR")
    if location:
        return os.path.abspath(os.path.expanduser(location))
    return os.path.join(ipython_dir(settings), "profile_" + (settings.text("Application", "profile") or "default"))


def cluster_id(settings):
    value = settings.get("Application", "cluster_id")
    return os.environ.get("IPP_CLUSTER_ID", "") if value is None else value


def connection_file(settings, directory):
    """The path of the engine's connection file. It may not exist yet."""
    path = settings.get("IPEngine", "url_file")
    if path:
        return os.path.abspath(os.path.expanduser(path))
    identifier = cluster_id(settings)
    name = settings.get("IPEngine", "url_file_name")
    if not name:
        name = f"ipcontroller-{identifier}-engine.json" if identifier else "ipcontroller-engine.json"
    return os.path.join(directory, "security", name)


def wait_for(path, seconds, log):
    """Wait until a file exists. Returns whether it does."""
    if os.path.exists(path):
        return True
    import time

    log(30, f"Connection file {path!r} not found")
    log(30, f"Waiting up to {seconds:.1f} seconds for it to arrive.")
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(0.05)
        if os.path.exists(path):
            return True
    return False


def read_complete(path):
    """The text of a connection file; one that is being written is read again. Stock controllers do not write atomically."""
    for attempt in range(20):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if text.rstrip().endswith("}"):
            return text
        import time

        time.sleep(0.05)
    return text


class _Section:
    """One class of a configuration file: attributes are traits."""

    def __init__(self, owner, settings):
        object.__setattr__(self, "_owner", owner)
        object.__setattr__(self, "_settings", settings)

    def __setattr__(self, trait, value):
        self._settings.append((f"{self._owner}.{trait}", value))

    def __getattr__(self, trait):
        # A list that is appended to, as in `c.InteractiveShellApp.exec_lines.append(...)`.
        value = []
        self._settings.append((f"{self._owner}.{trait}", value))
        return value


class _Config:
    def __init__(self):
        self.assignments = []

    def __getattr__(self, owner):
        return _Section(owner, self.assignments)


def load_config_files(settings, directory, log):
    """Read `ipython_config` and `ipengine_config` of the profile, `.py` and `.json`. The command line wins."""
    given = dict(settings.values)
    extra = settings.get("Application", "extra_config_file")
    paths = [os.path.join(directory, name) for name in ("ipython_config", "ipengine_config")]
    names = [path + suffix for path in paths for suffix in (".py", ".json")] + ([extra] if extra else [])
    for path in names:
        if not os.path.exists(path):
            if path == extra:
                raise OptionError(f"the configuration file {path} does not exist")
            continue
        try:
            if path.endswith(".json"):
                _load_json(path, settings)
            else:
                _load_python(path, settings)
        except Exception as error:
            log(40, f"Skipped the configuration file {path}: {type(error).__name__}: {error}")
    settings.values.update(given)


def _load_json(path, settings):
    import json

    with open(path, encoding="utf-8") as file:
        for owner, traits in json.load(file).items():
            if isinstance(traits, dict):
                for trait, value in traits.items():
                    settings.set(f"{owner}.{trait}", value)


def _load_python(path, settings):
    config = _Config()
    with open(path, "rb") as file:
        code = compile(file.read(), path, "exec")
    namespace = {"c": config, "get_config": lambda: config, "__file__": path, "load_subconfig": lambda *_, **__: None}
    exec(code, namespace)
    for name, value in config.assignments:
        settings.set(name, value)


def startup_files(directory):
    """The profile's startup files, in order."""
    folder = os.path.join(directory, "startup")
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [os.path.join(folder, name) for name in names if name.endswith((".py", ".ipy"))]
