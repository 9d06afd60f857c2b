"""The engine's command line: ipengine's options in all the forms that traitlets accepts.

No argparse: it costs 6 ms and 2 MB in every engine, and does not know `--Class.trait=value`.
"""

from .._version import PROTOCOL_VERSION

#: Short names -> configured names.
_ALIASES = {
    "file": "IPEngine.url_file",
    "c": "IPEngine.startup_command",
    "s": "IPEngine.startup_script",
    "url": "IPEngine.registration_url",
    "ssh": "IPEngine.sshserver",
    "sshkey": "IPEngine.sshkey",
    "location": "IPEngine.location",
    "timeout": "IPEngine.timeout",
    "id": "IPEngine.id",
    "resources": "IPEngine.resources",
    "profile": "BaseIPythonApplication.profile",
    "profile-dir": "ProfileDir.location",
    "ipython-dir": "BaseIPythonApplication.ipython_dir",
    "cluster-id": "BaseParallelApplication.cluster_id",
    "config": "BaseIPythonApplication.extra_config_file",
    "log-level": "Application.log_level",
    "log-url": "BaseParallelApplication.log_url",
    "work-dir": "BaseParallelApplication.work_dir",
    "ident": "Session.session",
    "user": "Session.username",
    "keyfile": "Session.keyfile",
}

#: Options without a value -> the setting they stand for.
_FLAGS = {
    "debug": ("Application.log_level", "10"),
    "quiet": ("Application.log_level", "50"),
    "mpi": ("IPEngine.use_mpi", "True"),
    "log-to-file": ("BaseParallelApplication.log_to_file", "True"),
    "clean-logs": ("BaseParallelApplication.clean_logs", "True"),
    "init": ("BaseIPythonApplication.init", "True"),
    "secure": ("Session.secure", "True"),
    "no-secure": ("Session.secure", "False"),
}

#: Classes that are the engine itself under another name; their traits are the same.
_SAME_CLASS = {
    "EngineFactory": "IPEngine", "IPEngineApp": "IPEngine", "InteractiveShellApp": "IPKernelApp", "BaseApp": "Application",
}  # fmt: skip
_APPLICATION_TRAITS = (
    "profile", "ipython_dir", "extra_config_file", "cluster_id", "log_level", "log_url", "work_dir", "log_to_file", "clean_logs",
)  # fmt: skip

HELP = """\
Start an engine: a Python process that runs the tasks of a cluster.

usage: ipengine [options]        (also: apus engine [options], python -m apus.engine [options])

Which cluster
  --file=PATH             connection file of the controller (ipcontroller-engine.json)
  --profile=NAME          profile whose security directory has the connection file (default: default)
  --profile-dir=PATH      the same as a directory
  --ipython-dir=PATH      where profiles are (default: $IPYTHONDIR, else ~/.ipython)
  --cluster-id=ID         which of several clusters of the profile
  --location=HOST         where the controller is, if the connection file is wrong about it
  --timeout=SECONDS       how long the controller may take to answer (default: 5)

What to run first
  -c CODE                 code, in the namespace of the tasks
  -s FILE                 a script, likewise
  --mpi                   ask for the MPI rank as id, and define MPI, mpi_rank and mpi_size
  --work-dir=PATH         change to this directory first

The engine itself
  --ident=UUID            its name on the wire (default: random)
  --IPEngine.id=N         ask for this id
  --resources=NAME=AMOUNT,...   what tasks may ask for with resources={"gpu": 1}: --resources=gpu=1,memory=16
  --IPEngine.max_heartbeat_misses=N   missed heartbeats before it gives up; 0 is never (default: 50)
  --InteractiveShell.colors=nocolor   tracebacks without colours
  --log-level=N           10 debug, 20 info, 30 warning, 40 error (default: 20); --debug is 10
  --log-to-file           log into the profile's log directory instead of standard error
  --Class.trait=VALUE     any other setting of ipengine or IPython

  --version               print the version of ipyparallel that this speaks to, and exit
  --help, --help-all      print this, and exit

Environment: IPYTHONDIR, IPP_PROFILE_DIR, IPP_CLUSTER_ID, IPP_SESSION_KEY, IPP_CONNECTION_INFO, IPP_CURVE_SERVERKEY,
IPP_CURVE_PUBLICKEY, IPP_CURVE_SECRETKEY, PYTHONSTARTUP.

Exit codes: 0 stopped on request, 1 no connection file or no heartbeat, 2 wrong options, 65 damaged connection file, 75 ended because a task did not
end (an engine that can starts anew instead), 255 registration failed.
"""


class OptionError(Exception):
    """A command line that cannot be understood; the text says why and what to do."""


class Settings:
    """Configured values by class and trait. Values are text from the command line, or Python objects from files."""

    def __init__(self):
        self.values = {}

    def set(self, name, value):
        owner, _, trait = name.rpartition(".")
        owner = _SAME_CLASS.get(owner, owner)
        if trait in _APPLICATION_TRAITS and owner in ("IPEngine", "BaseParallelApplication", "BaseIPythonApplication", "Application"):
            owner = "Application"
        self.values[owner, trait] = value

    def get(self, owner, trait, default=None):
        return self.values.get((owner, trait), default)

    def text(self, owner, trait, default=""):
        value = self.get(owner, trait, default)
        return value if isinstance(value, str) else str(value)

    def number(self, owner, trait, default):
        value = self.get(owner, trait)
        if value is None or value == "None":
            return default
        try:
            return float(value)
        except (TypeError, ValueError):
            raise OptionError(f"--{owner}.{trait} should be a number, not {value!r}") from None

    def flag(self, owner, trait, default=False):
        value = self.get(owner, trait)
        if value is None:
            return default
        return value if isinstance(value, bool) else str(value).lower() in ("1", "true", "yes")

    def lines(self, owner, trait):
        """A list of str: from a file as it is, from the command line as a literal or as one item."""
        value = self.get(owner, trait)
        if value is None:
            return []
        if isinstance(value, str):
            if value.startswith("["):
                import ast

                return [str(item) for item in ast.literal_eval(value)]
            return [value]
        return list(value)

    def of(self, *owners):
        """All values of these classes, for code that configures objects of its own: {class: {trait: value}}."""
        found = {}
        for (owner, trait), value in self.values.items():
            if not owners or owner in owners:
                found.setdefault(owner, {})[trait] = value
        return found


def parse(arguments):
    """Read a command line.

    Returns (settings, text to print before exiting with 0, or None). Raises OptionError.
    """
    settings = Settings()
    items = list(arguments)
    while items:
        item = items.pop(0)
        if item == "--":
            break
        if item in ("-h", "--help", "--help-all"):
            return settings, HELP
        if item in ("-V", "--version"):
            return settings, PROTOCOL_VERSION + "\n"
        if not item.startswith("-") or item in ("-", "--"):
            raise OptionError(f"unexpected argument {item!r}; options start with -- (see --help)")
        name, equals, value = item.lstrip("-").partition("=")
        if name in _FLAGS and not equals:
            settings.set(*_FLAGS[name])
            continue
        if "." in name:
            key = name
        else:
            key = _ALIASES.get(name) or _ALIASES.get(name.replace("_", "-"))
            if key is None:
                raise OptionError(_unknown(name))
        if not equals:
            if not items:
                raise OptionError(f"{item} needs a value: {item}=VALUE")
            value = items.pop(0)
        settings.set(key, value)
    return settings, None


def _unknown(name):
    import difflib

    near = difflib.get_close_matches(name, [*_ALIASES, *_FLAGS], 1)
    hint = f"; did you mean --{near[0]}?" if near else "; see --help"
    return f"unknown option --{name}{hint}"
