"""Threads, signals, forks and ends: a client stays usable, and lets its process end."""

import gc
import signal
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

import apus as ipp


def nap(seconds):
    import time

    time.sleep(seconds)
    return seconds


def test_threads_share_a_client(client):
    view = client.load_balanced_view()

    def work(n):
        return [view.apply_async(abs, -x).get(40) for x in range(n, n + 100)]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(work, range(0, 8000, 1000)))
    assert found == [list(range(n, n + 100)) for n in range(0, 8000, 1000)]
    assert len(client.history) == len(set(client.history)) == 800


def test_a_result_that_another_thread_sent(client):
    """Who waits for it leads, and its events may come before the sender has noted them."""
    view = client.load_balanced_view()
    for _ in range(20):
        sent = []
        sender = threading.Thread(target=lambda: sent.extend(view.apply_async(abs, -x) for x in range(50)))
        sender.start()
        while len(sent) < 50:
            for result in list(sent):
                result.get(40)
        sender.join()
        assert [result.get(40) for result in sent] == list(range(50))


def test_maps_in_threads(client):
    view = client.load_balanced_view()
    with ThreadPoolExecutor(4) as pool:
        for result in pool.map(lambda _: view.map_sync(abs, range(-3000, 0)), range(8)):
            assert result == list(range(3000, 0, -1))


def test_two_clients_in_two_threads(connect_client):
    clients = [connect_client(), connect_client()]

    def work(client):
        view = client.load_balanced_view()
        return [view.apply_sync(abs, -x) for x in range(200)]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, clients)) == [list(range(200))] * 2
    one, other = (client[0].apply_async(abs, -1) for client in clients)
    assert ipp.wait([one, other], timeout=40).not_done == set()


def test_follower_goes_on_when_the_leader_has_its_result(client):
    quick, slow = client[0].apply_async(nap, 0.2), client[1].apply_async(nap, 0.6)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(quick.get, 10), pool.submit(slow.get, 10)]
        assert [future.result(40) for future in waiting] == [0.2, 0.6]


def interrupt_when_waiting(client):
    """Interrupts the main thread when that waits for a result: sooner or later it would interrupt something else."""
    main = threading.main_thread().ident

    def interrupt():
        end = time.monotonic() + 40
        while client._dispatcher._leader != main:
            if time.monotonic() > end:
                return
            time.sleep(0.001)
        time.sleep(0.1)
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    return thread


def test_interrupted_get(client, gate):
    result = client[0].apply_async(gate.wait, 1.0)
    with pytest.raises(KeyboardInterrupt):
        thread = interrupt_when_waiting(client)
        result.get()
    thread.join()
    assert not result.done()
    gate.open()
    assert result.get(40) == 1.0
    assert client[:].apply_sync(abs, -4) == [4, 4]


def test_an_interrupt_that_another_thread_takes_reaches_a_get(client):
    """It interrupts no wait then, as one that comes just before it."""
    result = client[0].apply_async(nap, 120)
    # After the last of what a new client asks the hub by itself, which would end the wait too.
    timer = threading.Timer(3, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        result.get()
    timer.join()
    assert not result.wait(0.5), "the end of the task ended the wait"
    result.cancel()
    result.wait(40)


def test_interrupted_apply_sync_gives_the_result_object(client, gate):
    thread = interrupt_when_waiting(client)
    result = client[0].apply_sync(gate.wait, 1.0)
    thread.join()
    assert isinstance(result, ipp.AsyncResult)
    gate.open()
    assert result.get(40) == 1.0


def test_interrupts_while_results_come_lose_nothing(run_program):
    """Ctrl-C in the midst of telling many results, again and again."""
    ended = run_program(
        """
        import signal

        armed, hits = False, 0

        def interrupt(*_):
            global armed, hits
            if armed:
                armed = False
                hits += 1
                raise KeyboardInterrupt

        signal.signal(signal.SIGALRM, interrupt)
        client = ipp.Client(path)
        view = client.load_balanced_view()
        for _ in range(3):
            results = [view.apply_async(abs, -x) for x in range(2000)]
            signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
            for result in results:
                while True:
                    try:
                        armed = True
                        result.get(40)
                        armed = False
                        break
                    except KeyboardInterrupt:
                        pass
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert [result.get(40) for result in results] == list(range(2000))
        assert not client._dispatcher.under_way and view.apply_sync(abs, -9) == 9
        print("some" if hits else "none")
        """
    )
    assert (ended.returncode, ended.stderr, ended.stdout) == (0, "", "some\n")


def test_exit_with_tasks_outstanding(run_program, gate):
    """It ends while they run, and whoever comes later finds the engines free when they have ended."""
    ended = run_program(
        f"""
        client = ipp.Client(path)
        wait = "while not __import__('os').path.exists({gate.path!r}): __import__('time').sleep(0.01)"
        results = [client[:].apply_async(exec, wait) for _ in range(3)]
        print("sent", flush=True)
        """
    )
    assert ended.returncode == 0 and ended.stdout == "sent\n" and ended.stderr == ""


def test_exit_while_a_thread_waits(run_program):
    ended = run_program(
        """
        import threading
        client = ipp.Client(path)
        result = client[0].apply_async(time.sleep, 1)
        threading.Thread(target=result.wait, daemon=True).start()
        print("out", flush=True)
        """
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "out\n", "")


def test_fork(run_program):
    """A child of a process with a client ends as any other; the parent's client goes on, and the child can have its own."""
    ended = run_program(
        """
        client = ipp.Client(path)
        # Not in the first moments: Swift's runtime has locks for types that it meets for the first time, and a child would inherit them held.
        client[:].apply_sync(abs, -1)
        pending = client[0].apply_async(abs, -3)
        child = os.fork()
        if not child:
            try:
                pending.get(40)
            except OSError as error:
                pass
            except Exception as error:
                os._exit(3)
            with ipp.Client(path) as own:
                os._exit(0 if own[:].apply_sync(abs, -1) == [1, 1] else 4)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), pending.get(40), client[:].apply_sync(abs, -2))
        """
    )
    assert (ended.returncode, ended.stderr, ended.stdout) == (0, "", "0 3 [2, 2]\n")


def test_the_client_of_a_child_works_hard(run_program):
    """Locks that two threads of a child want at once, in the second generation too."""
    ended = run_program(
        """
        import signal
        from concurrent.futures import ThreadPoolExecutor
        client = ipp.Client(path)
        client[:].apply_sync(abs, -1)
        def work():
            with ipp.Client(path) as own, ThreadPoolExecutor(4) as pool:
                view = own.load_balanced_view()
                def many(_):
                    return sum(result.get(60) for result in [view.apply_async(abs, -1) for _ in range(300)])
                return list(pool.map(many, range(4))) == [300] * 4
        def generations(left):
            child = os.fork()
            if not child:
                signal.alarm(60)
                os._exit(0 if work() and (left == 0 or generations(left - 1) == 0) else 3)
            return os.waitpid(child, 0)[1]
        print(generations(1), client[:].apply_sync(abs, -2))
        """
    )
    assert (ended.returncode, ended.stderr, ended.stdout) == (0, "", "0 [2, 2]\n")


def test_multiprocessing_beside_a_client(run_program):
    ended = run_program(
        """
        import multiprocessing
        client = ipp.Client(path)
        client[:].apply_sync(abs, -1)
        with multiprocessing.get_context("fork").Pool(2) as pool:
            print(sum(pool.map(abs, range(-10, 0))))
        print(client[:].apply_sync(abs, -2))
        """
    )
    assert (ended.returncode, ended.stderr, ended.stdout) == (0, "", "55\n[2, 2]\n")


def test_closed_client(cluster, connect_client, gate):
    client = connect_client()
    result = client[0].apply_async(gate.wait)
    view = client.load_balanced_view()
    client.close()
    client.close()
    assert result.done()
    with pytest.raises(ipp.RemoteError):
        result.get(1)
    with pytest.raises(RuntimeError):
        view.apply_async(abs, -1)
    with pytest.raises(OSError):
        client.queue_status()


def test_client_that_nobody_holds_is_closed(cluster):
    client = ipp.Client(str(cluster.connection_file))
    client[:].apply_sync(abs, -1)
    dispatcher, thread = weakref.ref(client._dispatcher), client._dispatcher._thread
    del client
    gc.collect()
    thread.join(40)
    assert not thread.is_alive() and dispatcher() is None


def test_controller_is_lost(start_cluster, connect_to):
    cluster = start_cluster(1)
    client = connect_to(cluster, 1)
    result = client[0].apply_async(time.sleep, 60)
    assert not result.wait(0.2)
    cluster.stop()
    with pytest.raises(Exception) as info:
        result.get(40)
    assert not isinstance(info.value, TimeoutError)
