"""The batch systems: their commands, and the lines of a script that they read."""

import shlex

from traitlets import Any, List, Unicode

from .base import LauncherError
from .batch import BatchControllerLauncher, BatchEngineSetLauncher, BatchSystemLauncher


class PBSLauncher(BatchSystemLauncher):
    """PBS and Torque."""

    submit_command = List(Unicode(), ["qsub"], config=True, help="Command that submits a script.")
    delete_command = List(Unicode(), ["qdel"], config=True, help="Command that ends a job.")
    signal_command = List(Unicode(), ["qsig", "-s"], config=True, help="Command that sends a signal to a job.")
    array_line = (r"#PBS\W+-t\W+[\w\-\$]+", "#PBS -t 1-{n}")
    option_lines = {
        "queue": (r"#PBS\W+-q\W+\$?\w+", "#PBS -q {queue}"),
        "output_file": (r"#PBS\W+-o\W+\$?\w+", "#PBS -j oe\n#PBS -o {output_file}"),
    }


class PBSControllerLauncher(PBSLauncher, BatchControllerLauncher):
    """A controller as a job of PBS."""

    batch_file_name = Unicode("pbs_controller", config=True, help="Name of the script.").tag(to_dict=True)
    default_template = "#!/bin/sh\n#PBS -V\n#PBS -N ipcontroller\n{program_and_args}\n"


class PBSEngineSetLauncher(PBSLauncher, BatchEngineSetLauncher):
    """Engines as a job of PBS."""

    batch_file_name = Unicode("pbs_engines", config=True, help="Name of the script.").tag(to_dict=True)
    default_template = "#!/bin/sh\n#PBS -V\n#PBS -N ipengine\n{program_and_args}\n"


class SGELauncher(PBSLauncher):
    """Grid Engine, which has the commands of PBS and other lines."""

    array_line = (r"#\$\W+-t", "#$ -t 1-{n}")
    option_lines = {
        "queue": (r"#\$\W+-q\W+\$?\w+", "#$ -q {queue}"),
        "output_file": (r"#\$\W+-o\W+\$?\w+", "#$ -j y\n#$ -o {output_file}"),
    }


class SGEControllerLauncher(SGELauncher, BatchControllerLauncher):
    """A controller as a job of Grid Engine."""

    batch_file_name = Unicode("sge_controller", config=True, help="Name of the script.").tag(to_dict=True)
    default_template = "#!/bin/sh\n#$ -V\n#$ -S /bin/sh\n#$ -N ipcontroller\n{program_and_args}\n"


class SGEEngineSetLauncher(SGELauncher, BatchEngineSetLauncher):
    """Engines as a job of Grid Engine."""

    batch_file_name = Unicode("sge_engines", config=True, help="Name of the script.").tag(to_dict=True)
    default_template = "#!/bin/sh\n#$ -V\n#$ -S /bin/sh\n#$ -N ipengine\n{program_and_args}\n"


class SlurmLauncher(BatchSystemLauncher):
    """Slurm."""

    submit_command = List(Unicode(), ["sbatch"], config=True, help="Command that submits a script.")
    delete_command = List(Unicode(), ["scancel"], config=True, help="Command that ends a job.")
    signal_command = List(Unicode(), ["scancel", "-s"], config=True, help="Command that sends a signal to a job.")
    account = Unicode("", config=True, help="Account that pays for the job.")
    qos = Unicode("", config=True, help="Quality of service.")
    timelimit = Any("", config=True, help="Time limit in the form of Slurm: minutes, hours:minutes:seconds, …")
    options = Unicode("", config=True, help="Further options, for templates that use {options}.")
    array_line = (r"#SBATCH\W+(?:--ntasks|-n)[\w\-\$=]+", "#SBATCH --ntasks={n}")
    option_lines = {
        "queue": (r"#SBATCH\W+(?:--partition|-p)\W+\$?\w+", "#SBATCH --partition={queue}"),
        "output_file": (r"#SBATCH\W+--output\W+\$?\w+", "#SBATCH --output={output_file}"),
        "account": (r"#SBATCH\W+(?:--account|-A)\W+\$?\w+", "#SBATCH --account={account}"),
        "qos": (r"#SBATCH\W+--qos\W+\$?\w+", "#SBATCH --qos={qos}"),
        "timelimit": (r"#SBATCH\W+(?:--time|-t)\W+\$?\w+", "#SBATCH --time={timelimit}"),
        "options": ("", ""),
    }


class SlurmControllerLauncher(SlurmLauncher, BatchControllerLauncher):
    """A controller as a job of Slurm."""

    batch_file_name = Unicode("slurm_controller.sbatch", config=True, help="Name of the script.").tag(to_dict=True)
    default_template = (
        "#!/bin/sh\n#SBATCH --export=ALL\n#SBATCH --job-name=ipcontroller-{cluster_id}\n#SBATCH --ntasks=1\n{program_and_args}\n")


class SlurmEngineSetLauncher(SlurmLauncher, BatchEngineSetLauncher):
    """Engines as a job of Slurm: one task each."""

    batch_file_name = Unicode("slurm_engine.sbatch", config=True, help="Name of the script.").tag(to_dict=True)
    default_template = "#!/bin/sh\n#SBATCH --export=ALL\n#SBATCH --job-name=ipengine-{cluster_id}\nsrun {program_and_args}\n"


class LSFLauncher(BatchSystemLauncher):
    """LSF, which reads its script from standard input."""

    submit_command = List(Unicode(), ["bsub"], config=True, help="Command that submits a script.")
    delete_command = List(Unicode(), ["bkill"], config=True, help="Command that ends a job.")
    signal_command = List(Unicode(), ["bkill", "-s"], config=True, help="Command that sends a signal to a job.")
    array_line = (r"#BSUB\s+-J\s*\w+\[\d+-\d+\]", "#BSUB -J ipengine[1-{n}]")
    option_lines = {
        "queue": (r"#BSUB\s+-q\s+\w+", "#BSUB -q {queue}"),
        "output_file": (r"#BSUB\s+-oo?\s+\w+", "#BSUB -o {output_file}\n#BSUB -e {output_file}"),
    }

    def find_args(self):
        return list(self.submit_command)

    async def _submit(self, environment):
        with open(self.batch_file, encoding="utf-8") as script:
            return await self._run(self.args, env=environment, stdin=script)


class LSFControllerLauncher(LSFLauncher, BatchControllerLauncher):
    """A controller as a job of LSF."""

    batch_file_name = Unicode("lsf_controller", config=True, help="Name of the script.").tag(to_dict=True)
    array_line = ("", "")
    default_template = "#!/bin/sh\n#BSUB -env all\n#BSUB -J ipcontroller-{cluster_id}\n{program_and_args}\n"


class LSFEngineSetLauncher(LSFLauncher, BatchEngineSetLauncher):
    """Engines as a job of LSF."""

    batch_file_name = Unicode("lsf_engines", config=True, help="Name of the script.").tag(to_dict=True)
    default_template = "#!/bin/sh\n#BSUB -env all\n{program_and_args}\n"

    def get_env(self):
        # Output goes to its file as it comes, and not at the end.
        return {"LSB_STDOUT_DIRECT": "Y", **super().get_env()}


class HTCondorLauncher(BatchSystemLauncher):
    """HTCondor, whose scripts are descriptions of jobs."""

    submit_command = List(Unicode(), ["condor_submit"], config=True, help="Command that submits a description.")
    delete_command = List(Unicode(), ["condor_rm"], config=True, help="Command that ends a job.")
    array_line = (r"(?m)^queue\b", "queue {n}")
    option_lines = {"output_file": (r"(?m)^output\b", "output          = {output_file}\nerror           = {output_file}")}

    @property
    def context(self):
        words = [*self.program, *self.program_args]
        return {"executable": words[0], "arguments": shlex.join(words[1:]), **super().context}

    def _template(self):
        if self.batch_template or self.batch_template_file:
            return super()._template()
        # Nothing counts after the line that queues the job.
        return "\n".join([self.default_template, self.option_lines["output_file"][1], self.array_line[1], ""])

    async def signal(self, sig):
        raise LauncherError("HTCondor has no command that sends signals to jobs")


class HTCondorControllerLauncher(HTCondorLauncher, BatchControllerLauncher):
    """A controller as a job of HTCondor."""

    batch_file_name = Unicode("htcondor_controller", config=True, help="Name of the description.").tag(to_dict=True)
    default_template = (
        'universe        = vanilla\nexecutable      = {executable}\ntransfer_executable = False\n'
        'arguments       = "{arguments}"\ngetenv          = True')


class HTCondorEngineSetLauncher(HTCondorLauncher, BatchEngineSetLauncher):
    """Engines as a job of HTCondor."""

    batch_file_name = Unicode("htcondor_engines", config=True, help="Name of the description.").tag(to_dict=True)
    default_template = (
        'universe        = vanilla\nexecutable      = {executable}\ntransfer_executable = False\n'
        'arguments       = "{arguments}"\ngetenv          = True')
