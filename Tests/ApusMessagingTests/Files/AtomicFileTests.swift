import Foundation
import Testing

@testable import ApusMessaging

@Suite("Atomic files")
final class AtomicFileTests {
  let folder: String

  init() throws {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("apus-files-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    folder = url.path
  }

  deinit { try? FileManager.default.removeItem(atPath: folder) }

  private func mode(_ path: String) throws -> Int {
    try #require(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int)
  }

  private func names() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: folder).sorted() }

  @Test("written for the owner alone, whole, and without leaving anything beside")
  func writing() throws {
    let path = "\(folder)/key.json"
    try AtomicFile.write(Array("one".utf8), to: path)
    #expect(try mode(path) == 0o600)
    #expect(try AtomicFile.read(path) == Array("one".utf8))
    try AtomicFile.write([], to: path)
    #expect(try AtomicFile.read(path).isEmpty)
    #expect(try names() == ["key.json"])
  }

  @Test("a file that is there is replaced together with its mode")
  func replacing() throws {
    let path = "\(folder)/key.json"
    #expect(
      FileManager.default.createFile(atPath: path, contents: Data("old and longer".utf8), attributes: [.posixPermissions: 0o666]))
    try AtomicFile.write(Array("new".utf8), to: path)
    #expect(try mode(path) == 0o600)
    #expect(try AtomicFile.read(path) == Array("new".utf8))
    try AtomicFile.write(Array("public".utf8), to: path, mode: 0o644)
    #expect(try mode(path) == 0o644)
  }

  @Test("where files need a name to be written they are the same, and one that cannot be written whole is not left")
  func named() throws {
    let path = "\(folder)/named"
    #expect(AtomicFile.writeNamed(Array("one".utf8), mode: 0o640, flushed: true, path) == 0)
    #expect(try mode(path) == 0o640 && AtomicFile.read(path) == Array("one".utf8))
    #expect(AtomicFile.writeNamed(Array("two".utf8), mode: 0o640, flushed: false, path) == EEXIST)
    #expect(try AtomicFile.read(path) == Array("one".utf8))
    // Whatever is written there, the device is full.
    #expect(throws: FileError(path: "/dev/full", action: "write", code: ENOSPC)) {
      try AtomicFile.writeThrough([1], to: "/dev/full", mode: 0o644)
    }
  }

  @Test("a user's file keeps its mode, is made where a link leads, and is written as it is where none may be made beside it")
  func through() throws {
    let (file, link, long) = ("\(folder)/file", "\(folder)/link", "\(folder)/\(String(repeating: "n", count: 250))")
    symlink("file", link)
    try AtomicFile.writeThrough(Array("new".utf8), to: link, mode: 0o600)
    #expect(try mode(file) == 0o600 && AtomicFile.read(file) == Array("new".utf8))
    chmod(file, 0o640)
    try AtomicFile.writeThrough(Array("next".utf8), to: link, mode: 0o600)
    #expect(try mode(file) == 0o640 && AtomicFile.read(file) == Array("next".utf8))
    #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link) == "file")
    close(open(long, O_CREAT | O_WRONLY, 0o600))
    try AtomicFile.writeThrough(Array("long".utf8), to: long, mode: 0o600)
    #expect(try AtomicFile.read(long) == Array("long".utf8))
  }

  @Test("a file that a process has open is written to, and none is put in its place")
  func standing() throws {
    let path = "\(folder)/output"
    let descriptor = open(path, O_CREAT | O_WRONLY | O_APPEND, 0o600)
    defer { close(descriptor) }
    #expect(write(descriptor, "before ", 7) == 7)
    try AtomicFile.writeThrough(Array("trace ".utf8), to: "/dev/fd/\(descriptor)", mode: 0o644)
    #expect(write(descriptor, "after", 5) == 5)
    #expect(try AtomicFile.read(path) == Array("before trace after".utf8))
  }

  private static var hasUnnamedFiles: Bool {
    let descriptor = open(FileManager.default.temporaryDirectory.path, 0o20000000 | O_DIRECTORY | O_WRONLY, 0o600)
    defer { if descriptor >= 0 { close(descriptor) } }
    return descriptor >= 0
  }

  @Test("before all of it is written it has no name: whoever is killed leaves nothing of it", .enabled(if: hasUnnamedFiles))
  func unnamed() async throws {
    let (path, folder) = ("\(folder)/large", folder)
    let bytes = [UInt8](repeating: 7, count: 32 << 20)
    let observer = Task.detached {
      var sizes: Set<Int> = []
      while !Task.isCancelled {
        for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
          var status = stat()
          if stat("\(folder)/\(name)", &status) == 0 { sizes.insert(status.st_size) }
        }
        await Task.yield()
      }
      return sizes
    }
    for _ in 0..<4 {
      try AtomicFile.write(bytes, to: path, flushed: false)
      await Task.yield()
    }
    observer.cancel()
    #expect(try await observer.value.isSubset(of: [bytes.count]))
  }

  @Test("large files")
  func large() throws {
    let bytes = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 >> 3) }
    try AtomicFile.write(bytes, to: "\(folder)/large")
    #expect(try AtomicFile.read("\(folder)/large") == bytes)
  }

  @Test("a reader sees the old file or the new one, never a part")
  func atomic() async throws {
    let path = "\(folder)/watched"
    let sizes = [10, 200_000]
    try AtomicFile.write([UInt8](repeating: 1, count: sizes[0]), to: path)
    let reader = Task.detached {
      var torn = 0
      var reads = 0
      while !Task.isCancelled {
        let bytes = try AtomicFile.read(path)
        reads += 1
        if !sizes.contains(bytes.count) || Set(bytes).count != 1 { torn += 1 }
        await Task.yield()
      }
      return (torn, reads)
    }
    for round in 0..<60 {
      try AtomicFile.write([UInt8](repeating: UInt8(round), count: sizes[round % 2]), to: path)
      await Task.yield()
    }
    reader.cancel()
    let (torn, reads) = try await reader.value
    #expect(torn == 0)
    #expect(reads > 0)
  }

  @Test("what killed processes were writing can be removed")
  func unfinished() throws {
    let path = "\(folder)/key.json"
    try AtomicFile.write([1], to: path)
    // Somebody else's have such endings, too.
    let others = ["key.json.mine.new", "key.json.new", "key.json.1-2-3.new", ".12-345.new"]
    for name in ["key.json.12-345.new", "key.json.13-1.new", "other.json.12-345.new", "key.json.old"] + others {
      try AtomicFile.write([1], to: "\(folder)/\(name)")
    }
    AtomicFile.removeUnfinished(path)
    #expect(try names() == (["key.json", "key.json.old", "other.json.12-345.new"] + others).sorted())
    #expect(AtomicFile.unfinished(in: folder).map(\.path) == ["\(folder)/other.json.12-345.new"])
    #expect(AtomicFile.unfinished(in: folder + "/").map(\.target) == ["\(folder)/other.json"])
    AtomicFile.removeUnfinished("\(folder)/no/such/folder/file")
  }

  @Test("errors name the file and what was wrong; nothing is left behind")
  func errors() throws {
    let missing = "\(folder)/no/such/folder/file"
    #expect {
      try AtomicFile.write([1], to: missing)
    } throws: { ($0 as? FileError)?.code == ENOENT && "\($0)".contains(missing) }
    #expect {
      _ = try AtomicFile.read(missing)
    } throws: { ($0 as? FileError)?.code == ENOENT && "\($0)".contains("read") }
    let directory = "\(folder)/directory"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
    #expect(throws: FileError.self) { try AtomicFile.write([1], to: directory) }
    #expect(throws: FileError.self) { try AtomicFile.read(directory) }
    #expect(try names() == ["directory"])
    AtomicFile.remove(missing)
  }
}
