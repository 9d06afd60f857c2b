import ApusMessaging
import TestSupport
import Testing

@Suite("Connection files")
struct ConnectionFileTests {
  @Test(
    "ipyparallel's own files are read, and written again letter for letter",
    arguments: [StockCapture.clientFile, StockCapture.engineFile])
  func stock(text: String) throws {
    let file = try ConnectionFile(parsing: text)
    #expect(String(decoding: file.json.encoded(pretty: true), as: UTF8.self) == text)
    #expect(file.key == StockCapture.key)
    #expect(file.host == "127.0.0.1")
    #expect(file.endpoint(port: 5) == "tcp://127.0.0.1:5")
    #expect(file.endpoint(port: 5, host: "10.0.0.1") == "tcp://10.0.0.1:5")
    #expect(file.curveServerKey == nil)
    #expect(file.location == "localhost")
  }

  @Test("the two sides")
  func sides() throws {
    guard case .client(_, _, let scheme) = try ConnectionFile(parsing: StockCapture.clientFile).side else {
      Issue.record("the client's file")
      return
    }
    #expect(scheme == "leastload")
    guard case .engine(_, _, let leaves) = try ConnectionFile(parsing: StockCapture.engineFile).side else {
      Issue.record("the engine's file")
      return
    }
    #expect(leaves.count == 2)
    let (client, engine) = (
      try ConnectionFile(parsing: StockCapture.clientFile), try ConnectionFile(parsing: StockCapture.engineFile)
    )
    #expect(client.registration == engine.registration)
    #expect(client.mux != engine.mux)
  }

  private func changed(_ text: String, _ key: String, _ value: JSONValue?) throws -> JSONValue {
    var object = try #require(try JSONValue(parsing: text).objectValue)
    object[key] = value
    return .object(object)
  }

  @Test("a key that is missing is named", arguments: ["interface", "registration", "control", "mux", "task", "iopub"])
  func missing(key: String) throws {
    for text in [StockCapture.clientFile, StockCapture.engineFile] {
      let json = try changed(text, key, nil)
      #expect {
        _ = try ConnectionFile(json)
      } throws: { "\($0)".contains("\"\(key)\" is missing") }
    }
  }

  @Test("keys of one side only", arguments: ["notification", "broadcast", "hb_pong"])
  func missingOfOneSide(key: String) throws {
    let json = try changed(key == "hb_pong" ? StockCapture.engineFile : StockCapture.clientFile, key, nil)
    #expect {
      _ = try ConnectionFile(json)
    } throws: { "\($0)".contains("\"\(key)\"") }
  }

  @Test(
    "ports that are none",
    arguments: [0, -1, 65_536, 1.5, "5555", .null, [5555], true, .bigInteger("99999999999999999999")] as [JSONValue])
  func badPorts(value: JSONValue) throws {
    for key in ["mux", "notification", "broadcast"] {
      let json = try changed(StockCapture.clientFile, key, value)
      #expect {
        _ = try ConnectionFile(json)
      } throws: { "\($0)".contains("\"\(key)\"") }
    }
    let leaves = try changed(StockCapture.engineFile, "broadcast", [5000, value])
    #expect {
      _ = try ConnectionFile(leaves)
    } throws: { "\($0)".contains("\"broadcast\"") }
  }

  @Test(
    "what we do not speak is said to be so",
    arguments: [("pack", "pickle", "json"), ("pack", "msgpack", "json"), ("signature_scheme", "hmac-md5", "hmac-sha256")])
  func beyondUs(key: String, value: String, hint: String) throws {
    let json = try changed(StockCapture.engineFile, key, .string(value))
    #expect {
      _ = try ConnectionFile(json)
    } throws: { "\($0)".contains(value) && "\($0)".contains(hint) }
  }

  @Test("what may be left out, and orjson, which is JSON")
  func lenient() throws {
    var json = try changed(StockCapture.clientFile, "pack", "orjson")
    for key in ["ssh", "key", "curve_serverkey", "location", "unpack", "signature_scheme", "task_scheme"] {
      var object = try #require(json.objectValue)
      object[key] = nil
      json = .object(object)
    }
    let file = try ConnectionFile(json)
    #expect(file.key.isEmpty)
    #expect(file.ssh.isEmpty)
  }

  @Test("texts that are no connection file", arguments: ["", "{", "[]", "null", "\"text\"", "{}", "\u{0}", "not json at all"])
  func nonsense(text: String) {
    #expect {
      _ = try ConnectionFile(parsing: text)
    } throws: { $0 is ConnectionFileError && !"\($0)".isEmpty }
  }

  @Test("damaged files are errors, or files")
  func damaged() {
    var random = SeededGenerator(seed: SeededGenerator.seed())
    for _ in 0..<500 {
      _ = try? ConnectionFile(parsing: String(decoding: random.mutation(of: Array(StockCapture.engineFile.utf8)), as: UTF8.self))
    }
  }

  @Test("interfaces without a scheme harm nothing")
  func interfaces() throws {
    let file = try ConnectionFile(try changed(StockCapture.clientFile, "interface", "tcp://*"))
    #expect(file.host == "*")
    #expect(file.endpoint(port: 1, host: "h") == "tcp://h:1")
    let odd = try ConnectionFile(try changed(StockCapture.clientFile, "interface", "127.0.0.1"))
    #expect(odd.host == "127.0.0.1")
    _ = odd.endpoint(port: 1, host: "h")
  }
}
