import ApusMessaging

/// What runs on another host: Python, because engines need it there anyhow, and every login shell can call it.
///
/// A script is the input of `ssh HOST PYTHON -`; what it is told is in it, as JSON in base 64, and so never on a command line that others of
/// that host may read. It answers with one line of JSON behind a mark: what a login shell prints may come before.
enum RemoteScript {
  static let mark = "apus-answer:"

  /// - Parameter order: what the script is told.
  static func text(_ body: String, _ order: JSONValue) -> String {
    """
    import base64, json, os, sys
    order = json.loads(base64.b64decode("\(Base64.text(order.encoded()))").decode())
    def answer(value):
        sys.stdout.write("\\n\(mark)" + json.dumps(value) + "\\n")
        sys.stdout.flush()
    \(process)
    \(body)
    """
  }

  static func answer(in output: String) -> JSONValue? {
    for line in output.split(whereSeparator: \.isNewline).reversed() where line.hasPrefix(mark) {
      return try? JSONValue(parsing: String(line.dropFirst(mark.count)))
    }
    return nil
  }

  /// Whether a process is the one that was started: its number may be another's by now. And what is removed of a directory: a start that has not
  /// come yet finds there that it is not to begin.
  private static let process = """
    def closed(directory):
        return os.path.exists(os.path.join(directory, "closed"))
    def remove(directory):
        import shutil
        if not os.path.basename(directory).startswith("apus-engines-"):
            return
        if not closed(directory):
            return shutil.rmtree(directory, ignore_errors=True)
        for name in os.listdir(directory):
            path = os.path.join(directory, name)
            if os.path.isdir(path):
                shutil.rmtree(path, ignore_errors=True)
            elif name != "closed":
                os.remove(path)
    def sweep():
        # What was left where a start was not to begin that never came: none takes so long.
        import tempfile, time
        for name in os.listdir(tempfile.gettempdir()):
            path = os.path.join(tempfile.gettempdir(), name, "closed")
            try:
                status = os.lstat(path) if name.startswith("apus-engines-") else None
                if status and status.st_uid == os.getuid() and time.time() - status.st_mtime > 600:
                    if set(os.listdir(os.path.dirname(path))) <= {"closed", "lock"}:
                        os.remove(path)
                        remove(os.path.dirname(path))
            except OSError:
                pass
    def began(pid):
        try:
            with open("/proc/%d/stat" % pid) as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    def lives(pid, start):
        if os.path.exists("/proc/self/stat"):
            return began(pid) == start
        try:
            os.kill(pid, 0)
        except OSError:
            return False
        return True
    def told(index):
        try:
            with open(os.path.join(order["directory"], index + ".exit")) as file:
                return int(file.read())
        except (OSError, ValueError):
            return None
    def look():
        import time
        states = {}
        # What watches over an engine writes down its end a moment after it came.
        deadline = time.monotonic() + 1
        for index, (pid, start) in order["engines"].items():
            states[index] = told(index)
            if states[index] is not None or lives(pid, start):
                continue
            while states[index] is None and os.path.isdir(order["directory"]) and time.monotonic() < deadline:
                time.sleep(0.01)
                states[index] = told(index)
            if states[index] is None:
                # Killed together with what watches over it, or by a host that was started anew.
                states[index] = "lost"
        return states
    def version(status):
        return [status.st_ino, status.st_mtime_ns]
    def fetched():
        # Whole files: they are renamed into their places. What was there before the start is another controller's.
        found = {}
        try:
            with open(os.path.join(order["directory"], "former.json")) as file:
                former = json.load(file)
        except (OSError, ValueError):
            former = {}
        for path in order["fetch"]:
            try:
                with open(path) as file:
                    if version(os.fstat(file.fileno())) != former.get(path):
                        found[path] = file.read()
            except OSError:
                pass
        return found
    def send(number, to_group=False):
        for index, (pid, start) in order["engines"].items():
            if lives(pid, start):
                try:
                    (os.killpg if to_group else os.kill)(pid, number)
                except OSError:
                    pass
    """

  /// What both kinds of processes need before their command is known.
  private static let preparation = """
    import subprocess, tempfile
    def fail(words):
        answer({"error": words})
        sys.exit(0)
    variables = dict(os.environ)
    variables.update(order["variables"])
    command = order["command"]
    profile = order["profile"]
    if profile:
        variables["IPP_PROFILE_DIR"] = os.path.join(os.path.expanduser("~"), profile)
    os.umask(0o077)
    for path, content in order["files"].items():
        path = os.path.join(os.path.expanduser("~"), path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(base64.b64decode(content))
    """

  /// Where a start notes what it starts, under a name that was given to it: whoever wants it to end finds that there, or says there that it is
  /// not to begin.
  private static let register = """
    import fcntl
    def locked(directory, patience):
        import time
        lock = os.open(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return lock
            except OSError:
                if time.monotonic() > deadline:
                    return lock
                time.sleep(0.01)
    def begins(directory):
        if closed(directory):
            os.remove(os.path.join(directory, "closed"))
            remove(directory)
            fail("it was to end before it began")
    """

  /// Only when it is clear that there is something to be run.
  private static let directory = """
    sweep()
    directory = order["directory"]
    if not (directory and os.path.isdir(directory)):
        directory = os.path.join(tempfile.gettempdir(), order["name"])
        try:
            os.mkdir(directory, 0o700)
        except FileExistsError as error:
            begins(directory)
            # Made by a start before, whose answer was lost on its way.
            if os.path.islink(directory) or os.lstat(directory).st_uid != os.getuid():
                fail(str(error))
        except OSError as error:
            fail(str(error))
    lock = locked(directory, 30)
    begins(directory)
    for index in order["indices"]:
        for ending in ("exit", "pid"):
            try:
                os.remove(os.path.join(directory, "%d.%s" % (index, ending)))
            except OSError:
                pass
    """

  private static let engineCommand = """
    if command is None:
        package = order["package"]
        if package and os.path.isfile(os.path.join(package, "apus", "__init__.py")):
            old = variables.get("PYTHONPATH")
            variables["PYTHONPATH"] = package + (":" + old if old else "")
        else:
            import importlib.util
            if importlib.util.find_spec("apus") is None:
                fail("there is no package 'apus' in %s of that host" % sys.executable)
        command = [sys.executable, "-m", "apus.engine"]
    """

  private static let engineArguments = """
    connection = os.path.join(directory, "connection-%d.json" % os.getpid())
    with os.fdopen(os.open(connection, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(order["connection"])
    os.umask(0o022)
    command = command + ["--file=" + connection] + order["arguments"]
    """

  /// Children of a process that waits for them and writes down how they end; it goes with the last.
  private static let launch = """
    if order["script"]:
        command = ["/bin/sh", "-c", '. "$0" && exec "$@"', os.path.expanduser(order["script"])] + command
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(reading)
        os.setsid()
        if os.fork():
            os._exit(0)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        children, engines, words = {}, {}, ""
        try:
            for index in order["indices"]:
                variables[order["index_variable"]] = str(index)
                with open(os.path.join(directory, "%d.log" % index), "ab") as log:
                    child = subprocess.Popen(
                        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=variables, cwd=os.path.expanduser("~"),
                        start_new_session=True)
                children[child.pid] = index
                engines[str(index)] = [child.pid, began(child.pid)]
                path = os.path.join(directory, "%d.pid" % index)
                with open(path + "-", "w") as file:
                    json.dump(engines[str(index)], file)
                os.rename(path + "-", path)
        except Exception as error:
            words = "%s: %s" % (command[0], error)
        # The other half of the lock goes with the script that answers.
        os.close(lock)
        os.write(writing, json.dumps({"engines": engines, "error": words}).encode())
        os.close(writing)
        while children:
            pid, status = os.wait()
            index = children.pop(pid, None)
            if index is None:
                continue
            code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            path = os.path.join(directory, "%d.exit" % index)
            try:
                with open(path + "-", "w") as file:
                    file.write(str(code))
                os.rename(path + "-", path)
            except OSError:
                pass
        try:
            os.remove(connection)
        except OSError:
            pass
        os._exit(0)
    os.close(writing)
    words = b""
    while True:
        part = os.read(reading, 65536)
        if not part:
            break
        words += part
    os.wait()
    result = json.loads(words.decode()) if words else {"engines": {}, "error": "nothing was started"}
    result["directory"] = directory
    """

  /// Engines.
  static let start = [preparation, engineCommand, register, directory, engineArguments, launch, "answer(result)"].joined(
    separator: "\n")

  /// The program of this host, where that host has it too, or the one of its package; its files are in a directory that is removed with it,
  /// unless somebody names a profile.
  private static let controllerCommand = """
    if command is None:
        program = order["program"]
        if not os.access(program, os.X_OK):
            try:
                from apus._executable import find
                program = find()
            except (ImportError, FileNotFoundError) as error:
                fail("there is no program %s, and %s" % (program, error))
        command = [program, "controller"]
    """

  private static let controllerArguments = """
    os.umask(0o022)
    home = os.path.join(os.path.expanduser("~"), profile) if profile else os.path.join(directory, "profile")
    name = "ipcontroller-" + (order["cluster_id"] + "-" if order["cluster_id"] else "")
    files = {kind: os.path.join(home, "security", name + kind + ".json") for kind in ("client", "engine")}
    former = {}
    # A controller of somebody's own that uses its files again need not write them anew.
    if order["command"] is None or not any("reuse" in word for word in order["arguments"]):
        for path in files.values():
            try:
                former[path] = version(os.stat(path))
            except OSError:
                pass
    with open(os.path.join(directory, "former.json"), "w") as file:
        json.dump(former, file)
    variables["IPP_PROFILE_DIR"] = home
    command = command + ["--profile-dir=" + home] + order["arguments"]
    if order["cluster_id"]:
        command.append("--cluster-id=" + order["cluster_id"])
    if order["locates"]:
        import socket
        # The address that this host was reached at.
        words = os.environ.get("SSH_CONNECTION", "").split()
        command.append("--location=" + (words[2] if len(words) == 4 else socket.gethostname()))
    connection = ""
    """

  /// Most controllers are ready in a moment; others are asked again.
  private static let arrival = """
    import time
    order.update({"directory": directory, "engines": result["engines"], "fetch": list(files.values())})
    result["connection_files"] = files
    deadline = time.monotonic() + 2
    while not result["error"]:
        result["fetched"] = fetched()
        if len(result["fetched"]) == len(files) or told("0") is not None or time.monotonic() > deadline:
            break
        time.sleep(0.01)
    answer(result)
    """

  static let startController = [preparation, controllerCommand, register, directory, controllerArguments, launch, arrival].joined(
    separator: "\n")

  /// What a start has begun whose answer nobody has heard; what has not begun by now never will.
  static let search = [
    register,
    """
    import tempfile
    directory = order["directory"] or os.path.join(tempfile.gettempdir(), order["name"])
    try:
        os.mkdir(directory, 0o700)
    except OSError:
        pass
    if os.stat(directory).st_uid != os.getuid():
        answer({"error": "%s is somebody else's" % directory})
        sys.exit(0)
    lock = locked(directory, 10)
    engines = {}
    for name in os.listdir(directory):
        if name.endswith(".pid"):
            with open(os.path.join(directory, name)) as file:
                noted = json.load(file)
            if noted != order["former"].get(name[:-4]):
                engines[name[:-4]] = noted
    if not set(map(str, order["planned"])) <= set(engines):
        open(os.path.join(directory, "closed"), "w").close()
    answer({"directory": directory, "engines": engines, "error": ""})
    """,
  ].joined(separator: "\n")

  static let states = """
    states = look()
    if order.get("fetch"):
        states["fetched"] = fetched()
    answer(states)
    """

  static let signal = """
    send(order["signal"])
    answer(look())
    """

  /// Waits for a moment, so that one call is enough where engines end as they should.
  static let stop = """
    import time
    send(order["signal"], order["signal"] == 9)
    deadline = time.monotonic() + order["patience"]
    while True:
        states = look()
        if all(state is not None for state in states.values()) or time.monotonic() > deadline:
            break
        time.sleep(0.01)
    if all(state is not None for state in states.values()) and os.path.isdir(order["directory"]) and not order.get("keeps"):
        remove(order["directory"])
        sweep()
    answer(states)
    """

  static let output = """
    try:
        with open(os.path.join(order["directory"], order["log"]), "rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 262144))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        lines = []
    answer(lines[-order["limit"]:])
    """

  static let removal = """
    if os.path.isdir(order["directory"]):
        remove(order["directory"])
    answer(True)
    """
}

/// RFC 4648, without Foundation.
enum Base64 {
  private static let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

  static func text(_ bytes: [UInt8]) -> String {
    var result: [UInt8] = []
    result.reserveCapacity((bytes.count + 2) / 3 * 4)
    var index = 0
    while index < bytes.count {
      let first = bytes[index]
      let second = index + 1 < bytes.count ? bytes[index + 1] : nil
      let third = index + 2 < bytes.count ? bytes[index + 2] : nil
      result.append(letters[Int(first >> 2)])
      result.append(letters[Int((first & 3) << 4 | (second ?? 0) >> 4)])
      result.append(second.map { letters[Int(($0 & 15) << 2 | (third ?? 0) >> 6)] } ?? UInt8(ascii: "="))
      result.append(third.map { letters[Int($0 & 63)] } ?? UInt8(ascii: "="))
      index += 3
    }
    return String(decoding: result, as: UTF8.self)
  }
}
