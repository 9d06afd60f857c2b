"""What users get wrong: one clear error, the documented exit code, nothing left running."""

from __future__ import annotations

import sys

import pytest


def refusal(cluster, *words: str, code: int, says: str) -> None:
    done = cluster.run("start", *words)
    assert done.returncode == code, done.stderr
    assert says in done.stderr, done.stderr
    assert done.stderr.count("error: ") - done.stderr.count("sbatch: error: ") == 1
    cluster.has_left_nothing()


def test_options_that_do_not_go_together(make_cluster, tmp_path):
    cluster = make_cluster("slurm")
    refusal(cluster, "--engines=slrum", code=2, says="did you mean 'slurm'?")
    refusal(cluster, "--engines=winhpc", code=69, says="winhpc")
    refusal(cluster, "--controller=winhpc", code=69, says="the controller")
    refusal(cluster, "--engines=ssh", code=2, says="needs hosts")
    refusal(cluster, "--engines=local", "--time=2h", code=2, says="--time is for batch systems")
    refusal(cluster, "--engines=slurm", "--time=soon", code=2, says="--time is 'soon'")
    refusal(cluster, "--engines=slurm", "--per-job=0", code=2, says="at least 1")
    refusal(cluster, "--engines=slurm", "--hosts=x", code=2, says="--hosts is for")
    refusal(cluster, "--engines=ssh", "--hosts=/nonexistent/hosts", code=66, says="--hosts")
    hosts = tmp_path / "hosts"
    hosts.write_text("host1 2\nhost2 many\n")
    refusal(cluster, "--engines=ssh", f"--hosts={hosts}", code=1, says=f"{hosts}:2: 'host2 many'")


def test_templates(make_cluster):
    cluster = make_cluster("slurm")

    def template(text: str) -> None:
        cluster.configure({"SlurmEngineSetLauncher": {"batch_template": text}})

    template("#!/bin/sh\nsrun hostname\n")
    refusal(cluster, "-n1", "--engines=slurm", code=1, says="{program_and_args}")
    template("#!/bin/sh\n#SBATCH -n {many}\nsrun {program_and_args}\n")
    refusal(cluster, "-n1", "--engines=slurm", code=1, says="{many}")
    cluster.configure({"SlurmEngineSetLauncher": {"batch_template_file": "/nonexistent/template"}})
    refusal(cluster, "-n1", "--engines=slurm", code=66, says="batch_template_file")
    cluster.configure({"SlurmEngineSetLauncher": {"queue": "a\nrm -rf x"}})
    refusal(cluster, "-n1", "--engines=slurm", code=1, says="line break")


def test_a_template_of_the_users_own(make_cluster):
    cluster = make_cluster("slurm")
    script = cluster.folder / "kept.sbatch"
    lines = ["#!/bin/sh", "#SBATCH --ntasks={n}", "#SBATCH --output={output_file}", "# {colour}", "exec srun {program_and_args}"]
    cluster.configure({"SlurmEngineSetLauncher": {
        "batch_template": "\n".join(lines), "namespace": {"colour": "blue"}, "batch_file_name": str(script), "environment": {"MARK": "7 8"}}})
    cluster.start("--partition=main", n=2)
    cluster.hears("2 engines ready")
    assert "# blue\n" in script.read_text() and "#SBATCH --ntasks=2\n" in script.read_text()
    assert script.stat().st_mode & 0o777 == 0o700
    # Options of the command line stand before the script: the template stays as it is.
    assert cluster.stand.system.calls("sbatch")[-1] == ["sbatch", "--partition=main", str(script)]
    client = cluster.client(2)
    import os

    assert client[:].apply_sync(os.getenv, "MARK") == ["7 8", "7 8"]
    assert client[:].apply_sync(os.getenv, "IPP_CONNECTION_INFO") == [None, None]
    assert cluster.interrupt() == 0
    # It was asked to stay.
    assert script.exists()
    cluster.has_left_nothing()


def test_two_clusters_of_one_folder_have_their_own_scripts(make_cluster):
    cluster = make_cluster("slurm")
    for name in ("a", "b"):
        assert cluster.run("start", "-n1", "--engines=slurm", "--daemonize", f"--cluster-id={name}").returncode == 0
    assert len(list((cluster.profile / "log").glob("*.sbatch"))) == 2
    assert cluster.run("stop", "a").returncode == 0
    assert cluster.run("px", "--cluster-id=b", "6 * 7").stdout == "Out[0:1]: 42\n"
    assert cluster.run("stop", "b").returncode == 0


@pytest.mark.parametrize(("hosts", "code", "says"), [
    ("nosuch.invalid 1", 14, "nosuch.invalid"), ("host1 1\n127.0.0.99:1 1", 14, "127.0.0.99")])
def test_hosts_that_cannot_be_reached(make_cluster, tmp_path, hosts, code, says):
    cluster = make_cluster("ssh")
    path = tmp_path / "wrong-hosts"
    path.write_text(hosts + "\n")
    refusal(cluster, "--engines=ssh", f"--hosts={path}", code=code, says=says)


def test_a_host_that_does_not_let_us_in(make_cluster):
    cluster = make_cluster("ssh")
    cluster.configure({"SSHLauncher": {"ssh_args": ["-o", "IdentityFile=/dev/null", "-o", "IdentityAgent=none", "-F", "/dev/null", "-o",
                                                    "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-p", "1"]}})
    refusal(cluster, *cluster.stand.arguments, code=14, says="must work without a question")


@pytest.mark.parametrize("controller", [[], ["--engines=local", "--controller=ssh", "--controller-host=host1"]])
def test_a_key_that_the_host_does_not_know(make_cluster, tmp_path, controller):
    cluster = make_cluster("ssh")
    system = cluster.stand.system
    system.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other-key"))
    config = tmp_path / "config"
    config.write_text((system.folder / "config").read_text().replace(f"{system.folder}/key", f"{tmp_path}/other-key"))
    cluster.configure({"SSHLauncher": {"ssh_args": ["-F", str(config)], "remote_python": sys.executable}})
    refusal(cluster, *(controller or cluster.stand.arguments), code=14, says="Permission denied (publickey)")


def test_pythons_of_hosts(make_cluster):
    cluster = make_cluster("ssh")
    cluster.configure({"SSHLauncher": {"remote_python": "/nonexistent/python"}})
    refusal(cluster, *cluster.stand.arguments, code=127, says="there is no /nonexistent/python on host1")
    cluster.configure({"SSHLauncher": {"remote_python": sys.executable}, "SSHEngineSetLauncher": {"engine_cmd": ["/nonexistent/engine"]}})
    refusal(cluster, *cluster.stand.arguments, code=14, says="/nonexistent/engine")


def test_ssh_keeps_one_connection_and_sends_no_key_on_a_command_line(make_cluster):
    cluster = make_cluster("ssh")
    cluster.start()
    cluster.hears("3 engines ready")
    client = cluster.client()
    import json
    import os

    key = json.loads((cluster.profile / "security/ipcontroller-engine.json").read_text())["key"]
    client[0].execute("import sys; folder = next(word for word in sys.argv if word.startswith('--file=')).partition('=')[2]", block=True)
    folder = client[0]["folder"]
    assert os.stat(folder).st_mode & 0o777 == 0o600 and os.stat(os.path.dirname(folder)).st_mode & 0o777 == 0o700
    calls = (cluster.stand.system.folder / "calls").read_text()
    assert key not in calls and "ControlPath" in calls
    assert cluster.interrupt() == 0
    assert not os.path.exists(os.path.dirname(folder))
    cluster.has_left_nothing()


def test_the_loss_of_a_node(make_cluster):
    import os

    cluster = make_cluster("real slurm")
    # One engine a node.
    cluster.configure({"SlurmEngineSetLauncher": {"options": "--cpus-per-task=4"}})
    cluster.start("--per-job=1", "--IPClusterStart.early_shutdown=0")
    cluster.hears("3 engines ready")
    node = cluster.client()[0].apply_sync(os.getenv, "SLURMD_NODENAME")
    try:
        cluster.stand.system.lose(node)
        cluster.hears(f"the loss of its node {node}")
        assert cluster.run("px", "--targets=1:", "6 * 7").returncode == 0
        assert cluster.interrupt() == 0
    finally:
        cluster.stand.system.repair(node)
