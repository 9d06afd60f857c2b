import Foundation
import Testing
import Transport

@testable import ApusController

@Suite("Spool") struct SpoolTests {
  @Test("first in, first out, whatever the messages are; room is given back")
  func order() throws {
    let spool = try #require(Spool(in: NSTemporaryDirectory()))
    #expect(spool.isEmpty && spool.next() == nil)
    let messages: [[Frame]] = [[Frame("a")], [.empty, Frame([UInt8](repeating: 9, count: 200_000)), .empty], [], [Frame("z")]]
    for message in messages { #expect(spool.append(message)) }
    #expect(spool.next() == messages[0])
    #expect(spool.append([Frame("later")]))
    for message in messages.dropFirst() + [[Frame("later")]] { #expect(spool.next() == message) }
    #expect(spool.isEmpty && spool.bytes == 0)
    #expect(spool.append(messages[1]))
    #expect(spool.next() == messages[1])
  }

  @Test("where no file can be made there is none")
  func refused() { #expect(Spool(in: "/proc/nowhere") == nil) }
}
