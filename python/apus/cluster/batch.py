"""Controller and engines as jobs of a batch system: a script is made from a template and submitted."""

import json
import os
import re
import shlex
import subprocess
import tempfile

from traitlets import CRegExp, Dict, Integer, List, Unicode, default

from . import loop, profiles
from .arrival import Arrival
from .base import BaseLauncher, ControllerLauncher, EngineLauncher, LauncherError
from .processes import Process, signal_number


class BatchSystemLauncher(BaseLauncher):
    """Submits a job. Kinds of it name the commands, and the lines of a script that mean something to the batch system.

    A job is taken to run from its submission until it is deleted: this launcher does not ask the batch system how it is.
    """

    submit_command = List(Unicode(), [""], config=True, help="Command that submits a script.")
    delete_command = List(Unicode(), [""], config=True, help="Command that ends a job; the job's id is added.")
    signal_command = List(Unicode(), [""], config=True, help="Command that sends a signal to a job; signal and id are added.")
    job_id_regexp = CRegExp(r"\d+", config=True, help="What is the job's id in the output of the submit command.")
    job_id_regexp_group = Integer(0, config=True, help="The group of the expression that is the id.")
    batch_template = Unicode("", config=True, help="Template of the script, in the form of str.format.").tag(to_dict=True)
    batch_template_file = Unicode("", config=True, help="File that holds the template.")
    batch_file_name = Unicode("batch_script", config=True, help="Name of the script that is written.").tag(to_dict=True)
    queue = Unicode("", config=True, help="Queue for the job.").tag(to_dict=True)
    namespace = Dict(config=True, help="Further variables for the template.").tag(to_dict=True)
    output_file = Unicode(config=True, help="File that takes the output.").tag(to_dict=True)
    job_id = Unicode().tag(to_dict=True)
    n = Integer(1).tag(to_dict=True)

    #: Template without the lines that are added where something asks for them.
    default_template = ""
    #: Option -> (expression that finds it in a template, lines that are added where it is missing). Options are traits.
    option_lines = {}
    #: Such a pair for the number of processes, which is always needed.
    array_line = ("", "")

    _output = None

    def __init__(self, work_dir=".", config=None, **kwargs):
        super().__init__(work_dir=work_dir, config=config, **kwargs)

    @default("output_file")
    def _default_output_file(self):
        return os.path.join(self.profile_dir, "log", f"{self.identifier}.log")

    @property
    def batch_file(self):
        """Path of the script."""
        return os.path.join(self.work_dir, self.batch_file_name)

    @property
    def program(self):
        """The program that the job runs: a list of str."""
        return []

    @property
    def program_args(self):
        """Its arguments."""
        return []

    def find_args(self):
        return [*self.submit_command, self.batch_file]

    # MARK: the script

    @property
    def context(self):
        """The variables of the template."""
        variables = {name: getattr(self, name) for name in ("n", "queue", "profile_dir", "cluster_id", "output_file")}
        variables.update({name: getattr(self, name) for name in self.option_lines})
        variables.update(
            program=shlex.join(self.program), program_args=shlex.join(self.program_args),
            program_and_args=shlex.join([*self.program, *self.program_args]), environment_json=json.dumps(self.get_env()))
        return {**variables, **self.namespace}

    def write_batch_script(self, n=1):
        """Write the script for n processes. Raises LauncherError where the template cannot be filled in."""
        self.n = n
        template = self._template()
        try:
            script = _fill_in(template, self.context)
        except Exception as error:
            raise LauncherError(
                f"the batch template of {type(self).__name__} cannot be filled in: {type(error).__name__}: {error}. "
                f"Its variables are {', '.join(sorted(self.context))}.") from error
        self.log.debug("writing the batch script %s:\n%s", self.batch_file, script)
        os.makedirs(os.path.dirname(self.output_file), exist_ok=True)
        # It may hold the cluster's key.
        descriptor = os.open(self.batch_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o700)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(script)

    def _template(self):
        if self.batch_template:
            return self.batch_template
        if self.batch_template_file:
            with open(self.batch_template_file, encoding="utf-8") as file:
                return file.read()
        first, rest = self.default_template.split("\n", 1)
        wanted = [self.array_line] + [lines for option, lines in self.option_lines.items() if getattr(self, option)]
        added = [lines for expression, lines in wanted if lines and not re.search(expression, self.default_template)]
        return "\n".join([first, *added, rest])

    # MARK: the job

    async def _run(self, command, **kwargs):
        """The output of a command. Raises LauncherError with its words where it fails."""
        self.log.debug("running %s", shlex.join(command))
        # Files and not pipes: nobody has to read them meanwhile.
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            try:
                child = subprocess.Popen(command, stdout=output, stderr=errors, **{"stdin": subprocess.DEVNULL, **kwargs})
            except OSError as error:
                raise LauncherError(
                    f"{command[0]} cannot be run: {error.strerror}. Is the batch system installed on this machine?") from error
            code = await Process.of_child(child).ended()
            said, complained = (_text(file) for file in (output, errors))
        if code:
            words = (complained + said).strip()
            raise LauncherError(f"{shlex.join(command)} failed with exit code {code}" + (f": {words}" if words else ""))
        return said

    def parse_job_id(self, output):
        """Find the job's id in the output of the submit command. Raises LauncherError."""
        found = self.job_id_regexp.search(output)
        if found is None:
            raise LauncherError(f"{self.submit_command[0]} did not say a job's id: {output!r}")
        self.job_id = found.group(self.job_id_regexp_group)
        self.log.info("Job submitted with job id: %r", self.job_id)
        return self.job_id

    async def start(self, n=1):
        """Submit the job. Returns its id."""
        return await loop.run(self._start(n))

    async def _start(self, n):
        self.write_batch_script(n)
        return self.notify_start(self.parse_job_id(await self._submit({**os.environ, **self.get_env()})))

    async def _submit(self, environment):
        return await self._run(self.args, env=environment)

    async def stop(self):
        """Delete the job."""
        if self.state == "running":
            output = await loop.run(self._run([*self.delete_command, self.job_id]))
            self.notify_stop({"job_id": self.job_id, "output": output})

    async def signal(self, sig):
        """Send a signal to the job."""
        await loop.run(self._run([*self.signal_command, str(signal_number(sig)), self.job_id]))

    async def join(self, timeout=None):
        raise LauncherError(f"{type(self).__name__} does not know when its job ends")

    def get_output(self, remove=False):
        """What the job has written to its output file, as text."""
        if self._output is not None:
            return self._output
        try:
            with open(self.output_file, encoding="utf-8", errors="replace") as file:
                output = file.read()
        except OSError:
            return ""
        if remove:
            self._output = output
            os.remove(self.output_file)
        return output


class BatchControllerLauncher(BatchSystemLauncher, ControllerLauncher):
    """Submits a controller."""

    @property
    def program(self):
        return self.controller_cmd

    @property
    def program_args(self):
        return [*self.cluster_args, *self.controller_args]

    async def start(self):
        """Submit the controller. Returns the job's id."""
        profiles.create(self.profile_dir)
        self._arrival = Arrival(self.connection_files.values(), accepts_old=self.reuses_connection_files)
        return await super().start(1)


class BatchEngineSetLauncher(BatchSystemLauncher, EngineLauncher):
    """Submits engines."""

    @property
    def program(self):
        return self.engine_cmd

    @property
    def program_args(self):
        return [*self.cluster_args, *self.engine_args]


def _text(file):
    file.seek(0)
    return file.read().decode(errors="replace")


_FIELD = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")


def _fill_in(template, variables):
    """`str.format`, where what stands in braces may be an expression of the variables, with a format after a colon."""

    def replace(match):
        field = match.group(1)
        if field is None:
            return match.group(0)[0]
        expression, colon, form = field.rpartition(":") if ":" in field else (field, "", "")
        try:
            value = eval(expression, {}, variables)
        except SyntaxError:
            # The colon was a part of the expression.
            value, form = eval(field, {}, variables), ""
        return format(value, form)

    return _FIELD.sub(replace, template)
