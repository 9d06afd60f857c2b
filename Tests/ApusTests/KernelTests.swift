import Apus
import ApusMessaging
import ApusValues
import TestSupport
import Testing
import Transport

@testable import ApusTasks

/// What reaches a kernel that no client of ours would send.
@Suite("The Swift kernel", .timeLimit(.minutes(1 * patience))) struct KernelTests {
  private let loop = LoopbackTasks()
  private let tool = TypeNames.name(of: Tool.self) ?? ""

  private func run(_ head: CallHead, _ arguments: [Frame] = []) async throws {
    _ = try await loop.run(EncodedCall(head: try head.frame(), arguments: arguments))
  }

  private func refused(_ head: CallHead, _ arguments: [Frame] = []) async -> String {
    await #expect(throws: RemoteError.self) { try await run(head, arguments) }?.value ?? ""
  }

  @Test("a function of another actor is not run") func typeConfusion() async throws {
    let other = try loop.actor(Other.self)
    #expect(try await other.say() == "untouched")
    let target = "$s9ApusTests4ToolC5countSiyYaKFTE"
    try await run(CallHead(actor: tool, target: target))
    #expect(await refused(CallHead(actor: TypeNames.name(of: Other.self) ?? "", target: target)).contains("no function of"))
  }

  @Test("unknown types, functions and arguments") func unknown() async throws {
    #expect(await refused(CallHead(actor: "9ApusTests7MissingC", target: "$s9ApusTests7MissingC1fyyYaKFTE")).contains("no type"))
    #expect(await refused(CallHead(actor: "Si", target: "$sSi3addyyYaKFTE")).contains("no RemoteTask"))
    #expect(await refused(CallHead(actor: tool, target: "$s9ApusTests4ToolC5nonenSiyYaKFTE")) != "")
    let square = "$s9ApusTests4ToolC6squareyS2iYaKFTE"
    #expect(!(await refused(CallHead(actor: tool, target: square))).isEmpty)
    #expect(!(await refused(CallHead(actor: tool, target: square), [Frame([0xA1, 0x61])])).isEmpty)
    #expect(!(await refused(CallHead(actor: tool, target: square), [Frame([0xC1])])).isEmpty)
    #expect(!(await refused(CallHead(actor: tool, target: square, generics: ["nonsense"]), [Frame([3])])).isEmpty)
  }

  @Test("heads that are no heads") func heads() async throws {
    #expect(await refused(CallHead("dance")).contains("dance"))
    #expect(await refused(CallHead("actor")).contains("lacks"))
    #expect(await refused(CallHead("closure")).contains("lacks"))
    #expect(await refused(CallHead("apply")).contains("Python"))
    for bytes in [[], [0xC1], [0x80], [0x81, 0xA4]] as [[UInt8]] {
      await #expect(throws: RemoteError.self) { try await loop.run(EncodedCall(head: Frame(bytes), arguments: [])) }
    }
  }

  @Test("closures of another build, and addresses that are none") func closures() async throws {
    var head = CallHead("closure")
    head.shape = .one
    head.build = "00"
    head.code = 0
    head.input = "Si"
    head.output = "Si"
    #expect(await refused(head, [Frame([3])]).contains("another build"))
    head.build = ProgramImage.current.buildID
    let inCode = Int(ProgramImage.current.code.lowerBound - ProgramImage.current.base) + 4096
    for code in [0, -1, .max, .min, 8, inCode, 1 << 40] {
      head.code = code
      let answer = await refused(head, [Frame([3])])
      #expect(answer.contains("none of the program's functions"), "\(code): \(answer)")
    }
  }

  @Test("names of types with errors in them") func names() {
    let known = ["Si", "SaySiG", "SDySSSaySdGG", "9ApusTests5PointV", "SaySay9ApusTests5PointVGG", "s5Int32V", "SiSg", "Si_Sit"]
    for name in known.dropLast() { #expect(TypeNames.type(named: name) != nil, "\(name)") }
    let seed = UInt64.random(in: .min ... .max)
    var bits = seed
    func below(_ limit: Int) -> Int {
      bits = bits &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(bits >> 33) % limit
    }
    let letters = Array("SsaydDGVCOtgp_0123456789ILqxzAb".utf8)
    for _ in 0..<20_000 {
      var name = Array(known[below(known.count)].utf8)
      for _ in 0...below(3) {
        let place = below(name.count)
        switch below(3) {
        case 0: name[place] = letters[below(letters.count)]
        case 1: name.insert(letters[below(letters.count)], at: place)
        default: if name.count > 1 { name.remove(at: place) }
        }
      }
      // That it comes back is what is tested; what it says depends on the name.
      _ = TypeNames.type(named: String(decoding: name, as: UTF8.self))
    }
    #expect(TypeNames.type(named: "Si") == Int.self, "seed \(seed)")
  }

  @Test("random bytes as head and arguments") func random() async throws {
    var generator = SystemRandomNumberGenerator()
    let seed = generator.next()
    var bits = seed
    func byte() -> UInt8 {
      bits = bits &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return UInt8(truncatingIfNeeded: bits >> 33)
    }
    for _ in 0..<2000 {
      let head = Frame((0..<Int(byte() % 40)).map { _ in byte() })
      let arguments = (0..<Int(byte() % 3)).map { _ in Frame((0..<Int(byte() % 20)).map { _ in byte() }) }
      await #expect(throws: RemoteError.self, "seed \(seed)") { try await loop.run(EncodedCall(head: head, arguments: arguments)) }
    }
  }

  @Test("pushed values survive in any number, and damaged ones change nothing") func namespace() async throws {
    _ = try await loop.run(.push(["a": [1, 2, 3], "b": [4]]))
    let array = (0..<20_000).map { Double($0) }
    _ = try await loop.run(.push(["large": array]))
    #expect(try loop.kernel.namespace.value("a", as: [Int].self) == [1, 2, 3])
    #expect(try loop.kernel.namespace.value("large", as: [Double].self) == array)
    let both = try MessagePackDecoder().decode([[Int]].self, from: Array(try await loop.run(.pull(["a", "b"]))))
    #expect(both == [[1, 2, 3], [4]])
    for bytes in [[0x81, 0xA1, 0x61], [0x82, 0xA1, 0x61, 1], [0x93, 1, 2, 3], [0xDF, 0xFF, 0xFF, 0xFF, 0xFF]] as [[UInt8]] {
      await #expect(throws: RemoteError.self) {
        _ = try await loop.run(EncodedCall(head: try CallHead("push").frame(), arguments: [Frame(bytes)]))
      }
    }
    #expect(loop.kernel.namespace.names == ["a", "b", "large"])
  }
}
