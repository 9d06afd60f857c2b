"""What a client of a cluster leaves when it is told to end twice, or its time is over."""

import os
import signal

from client_commands import SLEEP, STUBBORN, Commands


def test_a_second_interrupt_leaves_the_engines_to_it(own):
    process = own.start("px", "--targets=0", STUBBORN)
    try:
        assert process.stdout.readline() == "[stdout:0] started\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "[stdout:0] no\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=40)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "the code still runs there" in errors


def test_an_interrupt_after_the_time_leaves_the_engines_to_it(own):
    process = own.start("px", "--targets=0", "--timeout=0.5", STUBBORN)
    try:
        assert process.stderr.readline() == "waiting for engine 0 to end it; Ctrl-C leaves it to it\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=40)
    finally:
        process.kill()
    assert process.returncode == 124
    assert "the code still runs there" in errors and "interrupting" not in errors


def test_interrupts_end_it_though_the_controller_answers_nobody(start_cluster, tmp_path):
    cluster = start_cluster(n=1)
    cluster.client()
    (controller,) = [each.pid for each in cluster.processes() if each.role == "controller"]
    process = Commands(cluster.bin_dir, cluster.env, tmp_path).start("px", "--targets=0", SLEEP)
    try:
        assert process.stdout.readline() == "[stdout:0] started\n"
        os.kill(controller, signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        assert "Ctrl-C again leaves them to it" in process.stderr.readline()
        # It asks the controller then for what else the engine has.
        assert "waiting for engine 0 to end it" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=40)
    finally:
        os.kill(controller, signal.SIGCONT)
        process.kill()
    assert process.returncode == 130
    assert "the code still runs there" in errors
