import Foundation
import Testing
import Transport

@testable import ApusController

@Suite("Pickled buffers")
struct PickledBuffersTests {
  private func bytes(_ hex: String) -> Data {
    var data = Data()
    var rest = Substring(hex)
    while let byte = UInt8(rest.prefix(2), radix: 16) {
      data.append(byte)
      rest = rest.dropFirst(2)
    }
    return data
  }

  @Test func whatIsWrittenIsRead() {
    let buffers = [Frame("abc"), .empty, Frame([UInt8](repeating: 0x80, count: 100_000)), Frame([0, 255])]
    let pickle = PickledBuffers.encode(buffers[...])
    #expect(pickle.flatMap { PickledBuffers.decode($0) } == buffers)
    #expect((pickle?.count ?? .max) <= PickledBuffers.encodedCount(buffers[...]))
    #expect(PickledBuffers.encode([]) == nil)
  }

  /// `pickle.dumps([b"one"], n)` and `pickle.dumps([b"abc", b"", b""], n)` of CPython.
  @Test(
    arguments: [
      ("80035D710043036F6E657101612E", ["one"]),
      ("8004950A000000000000005D9443036F6E6594612E", ["one"]),
      ("8005950A000000000000005D9443036F6E6594612E", ["one"]),
      ("80059510000000000000005D94284303616263944300946802652E", ["abc", "", ""]),
      ("80035D71002843036162637101430071026802652E", ["abc", "", ""]),
      ("80045D2E", []),
    ] as [(String, [String])])
  func picklesOfPythonAreRead(_ hex: String, _ texts: [String]) {
    #expect(PickledBuffers.decode(bytes(hex))?.map(\.text) == texts)
  }

  @Test func nothingElseIsRead() {
    for hex in [
      "", "2E", "8004", "80045D", "80045D28", "80045D2843FF2E", "80045D428FFFFFFF2E", "80045D8EFFFFFFFFFFFFFFFF2E", "8004632E",
      "80045D6805612E",
      "80045D4301612E", "80045D5D2E", "80094E2E", "80045D2E00", "80045D43014161", "8004286C2E", "80048C056F732E6578942E",
    ] {
      #expect(PickledBuffers.decode(bytes(hex)) == nil, "\(hex)")
    }
  }

  @Test func everyTruncationIsRefused() {
    let pickle = bytes("80059510000000000000005D94284303616263944300946802652E")
    for count in 0..<pickle.count { #expect(PickledBuffers.decode(pickle.prefix(count)) == nil) }
  }
}
