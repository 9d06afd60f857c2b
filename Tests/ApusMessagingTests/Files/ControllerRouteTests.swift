import ApusMessaging
import Glibc
import Testing
import Transport

@Suite("The way to a controller") struct ControllerRouteTests {
  private func file(_ directory: String?) -> ConnectionFile {
    ConnectionFile(
      interface: "tcp://127.0.0.1", registration: 1001, control: 1002, mux: 1003, task: 1004, iopub: 1005,
      side: .client(notification: 1006, broadcast: 1007, taskScheme: "leastload"), key: "k", location: "here",
      localDirectory: directory)
  }

  @Test("local sockets where they are and are our own; TCP everywhere else")
  func choice() throws {
    let tcp = ControllerRoute(file(nil))
    #expect(tcp.isTCP && tcp.endpoint(1004) == "tcp://127.0.0.1:1004")
    #expect(ControllerRoute(file("/no/such/folder")).isTCP)
    let directory = try LocalDirectory()
    // Nobody listens there: it was tidied up, or its controller is another one.
    #expect(ControllerRoute(file(directory.path)).isTCP)
    let context = try Context()
    let socket = try Socket(.router, in: context)
    try socket.bindLocal(LocalDirectory.file("1001", in: directory.path))
    let local = ControllerRoute(file(directory.path))
    #expect(local.endpoint(1004) == "ipc://\(directory.path)/1004" && !local.isTCP)
    // Others could look into it.
    chmod(directory.path, 0o755)
    #expect(ControllerRoute(file(directory.path)).isTCP)
    chmod(directory.path, 0o700)
  }

  @Test("a folder is gone with its controller, and what a killed one left with the next")
  func life() throws {
    var path = ""
    do {
      let directory = try LocalDirectory()
      path = directory.path
      #expect(LocalDirectory.isOwn(path))
      #expect(throws: SystemError.self) { try LocalDirectory(reusing: path) }
    }
    #expect(!LocalDirectory.isOwn(path))
    #expect(try LocalDirectory(reusing: path).path == path)
    // As one that nobody holds the lock of.
    mkdir(path, 0o700)
    close(open("\(path)/lock", O_CREAT | O_RDWR, 0o600))
    withExtendedLifetime(try LocalDirectory()) { #expect(LocalDirectory.isOwn(path), "it may be in the making") }
    var long = utimbuf(actime: 1, modtime: 1)
    utime(path, &long)
    withExtendedLifetime(try LocalDirectory()) { #expect(!LocalDirectory.isOwn(path)) }
  }

  @Test("what a killed one of an earlier version left goes as well")
  func former() throws {
    let mine = try LocalDirectory()
    let slash = try #require(mine.path.lastIndex(of: "/"))
    let path = "\(mine.path[..<slash])/apus-\(String(UInt64.random(in: 0...UInt64.max), radix: 36))"
    try #require(mkdir(path, 0o700) == 0)
    close(open("\(path)/lock", O_CREAT | O_RDWR, 0o600))
    var long = utimbuf(actime: 1, modtime: 1)
    utime(path, &long)
    withExtendedLifetime(try LocalDirectory()) { #expect(!LocalDirectory.isOwn(path)) }
  }

  /// Engines on a host have one that is locked at their start only.
  @Test(
    "a controller removes its own kind of folders alone, and of those none with something else in it",
    arguments: [("apus-engines-", ["lock"]), ("apus-sockets-", ["lock", "0.log"])])
  func others(prefix: String, names: [String]) throws {
    let mine = try LocalDirectory()
    let slash = try #require(mine.path.lastIndex(of: "/"))
    let path = "\(mine.path[..<slash])/\(prefix)\(UInt64.random(in: 0...UInt64.max))"
    try #require(mkdir(path, 0o700) == 0)
    let files = names.map { "\(path)/\($0)" }
    defer {
      for file in files { unlink(file) }
      rmdir(path)
    }
    for file in files { close(open(file, O_CREAT | O_RDWR, 0o600)) }
    var long = utimbuf(actime: 1, modtime: 1)
    utime(path, &long)
    withExtendedLifetime(try LocalDirectory()) { for file in files { #expect(access(file, F_OK) == 0) } }
  }
}
