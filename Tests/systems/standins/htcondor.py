"""Stand-ins for HTCondor's commands."""

from __future__ import annotations

import re
import shlex
import signal
import sys

import jobs


def condor_submit(words: list[str]) -> None:
    jobs.meet_submit_faults()
    with open(words[-1]) as file:
        text = file.read()
    added = [words[place + 1] for place, word in enumerate(words) if word == "-append"]
    settings = {}
    count = None
    for line in [*added, *text.splitlines()]:
        if line.startswith("queue"):
            count = int(line.split()[1])
        elif "=" in line:
            name, _, value = line.partition("=")
            settings[name.strip().lower()] = value.strip()
    if count is None:
        jobs.leave("ERROR: no 'queue' commands found in the submit description", 1)
    if settings.get("+queue") == '"nosuch"':
        jobs.leave("ERROR: Failed submission for job: there is no queue nosuch", 1)
    # The new syntax of arguments: in double quotes, words in single quotes, doubled for themselves.
    arguments = re.fullmatch(r'"(.*)"', settings["arguments"]).group(1).replace('""', '"').replace("''", "'\\''")
    command = [settings["executable"], *shlex.split(arguments)]
    job = jobs.submit(
        text, list(range(count)), lambda job, index: settings["output"].replace("$(Process)", str(index)), lambda job, index: {},
        lambda job, index: [word.replace("$(Process)", str(index)) for word in command])
    print(f"Submitting job(s){'.' * count}\n{count} job(s) submitted to cluster {job}.")


def condor_q(words: list[str]) -> None:
    jobs.meet_status_faults()
    for job in words[: words.index("-af:,")]:
        for element in jobs.elements(job) or []:
            if element.is_waiting:
                fields = ["1", "undefined", "undefined", "undefined"]
            elif element.exit_code is None:
                fields = ["2", "slot1@node1", "undefined", "undefined"]
            elif element.reason == "time":
                fields = ["5", "undefined", "46", "The job exceeded allowed execute duration"]
            elif element.reason == "memory":
                fields = ["5", "undefined", "34", "memory usage exceeded request_memory"]
            else:
                continue
            print(",".join([job, str(element.index), *fields]))


def condor_history(words: list[str]) -> None:
    job, _, index = words[0].partition(".")
    for element in jobs.elements(job) or []:
        if element.index != int(index or 0) or element.exit_code is None:
            continue
        code = element.exit_code
        if element.reason == "cancelled":
            print("3,undefined,undefined,undefined,via condor_rm (by user usr)")
        elif code < 0:
            print(f"4,undefined,true,{-code},undefined")
        else:
            print(f"4,{code},false,undefined,undefined")


def condor_rm(words: list[str]) -> None:
    code = 0
    is_forced = words[0] == "-forcex"
    for name in words[1 if is_forced else 0:]:
        job, _, index = name.partition(".")
        live = [e for e in jobs.elements(job) or [] if (e.exit_code is None or e.reason in ("time", "memory")) and (not index or e.index == int(index))]
        if not live:
            print(f"Couldn't find/remove all jobs in cluster {job}", file=sys.stderr)
            code = 1
        for element in live:
            element.end("cancelled", signal.SIGKILL if is_forced else signal.SIGTERM)
    if code == 0:
        print(f"All jobs in cluster {words[-1]} have been marked for removal")
    sys.exit(code)
