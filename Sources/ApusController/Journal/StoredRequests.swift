import ApusMessaging
import Glibc
import Transport

/// The requests of a part of a journal, as bytes: most of a million that wait become frames only when an engine gets them, for making those takes
/// longer than all the rest of a restart, and three times the memory.
///
/// `@unchecked Sendable`: filled once, by the thread that reads the part, before anybody else has it. Then only
/// what each holder has of it changes, on that one's loop.
final class StoredRequests: @unchecked Sendable {
  /// Of each request the small frames that the one before it has not, behind them its table: the number of frames, the place of the delimiter,
  /// the places of the frames.
  @exclusivity(unchecked) private var bytes: [UInt8] = []
  /// Large frames are made at once: many requests have them in common.
  @exclusivity(unchecked) private var large: [Frame] = []

  @exclusivity(unchecked) private(set) var all = Amount()
  @exclusivity(unchecked) fileprivate var ofScheduler = Share()
  @exclusivity(unchecked) fileprivate var ofDatabase = Share()

  /// Who keeps requests as stored, each on a loop of its own.
  enum Holder { case scheduler, database }

  /// So many bytes may be kept for requests that take less than half of them. Then their holder takes these out of there.
  static let mostLeftOver = 32 << 20

  /// What a holder still has as stored.
  fileprivate struct Share {
    private var kept = Amount()
    /// The whole is kept for little.
    private(set) var isLeftOver = false

    mutating func keep(_ amount: Amount) { kept.add(amount) }

    /// - Returns: bytes that are kept for little from now on; with a minus, that were so and are free.
    mutating func letGo(_ amount: Amount, of all: Amount) -> Int {
      kept.remove(amount)
      guard isLeftOver != (kept.requests > 0 && kept.isLittle(of: all)) else { return 0 }
      isLeftOver.toggle()
      return isLeftOver ? all.bytes : -all.bytes
    }
  }

  /// Requests, and bytes: of a whole part those that it takes, of some of its requests those that are counted for them.
  struct Amount: Equatable {
    var requests = 0
    var bytes = 0
    /// Whether keeping the whole takes twice as much as there is to be kept, or more.
    func isLittle(of all: Amount) -> Bool { requests < all.requests / 2 || bytes < all.bytes / 2 }

    mutating func add(_ other: Amount) {
      requests += other.requests
      bytes += other.bytes
    }

    mutating func remove(_ other: Amount) {
      requests -= other.requests
      bytes -= other.bytes
    }
  }

  /// Where a frame is: from a byte on, or among the large ones.
  fileprivate struct Place: Equatable {
    var start: UInt32
    var count: UInt32
    static let largeMark: UInt32 = 1 << 31
    var largeIndex: Int? { start & Self.largeMark == 0 ? nil : Int(start & ~Self.largeMark) }
    /// In a table.
    static let size = 8
  }

  fileprivate static let tableHeader = 8

  fileprivate func table(at offset: UInt32) -> (count: Int, delimiter: Int) {
    bytes.withUnsafeBytes { bytes in
      (Int(Self.word(Int(offset), bytes)), Int(Self.word(Int(offset) + 4, bytes)))
    }
  }

  fileprivate func tableSize(at offset: UInt32) -> Int { Self.tableHeader + table(at: offset).count * Place.size }

  fileprivate func place(_ index: Int, inTableAt offset: UInt32) -> Place {
    bytes.withUnsafeBytes { bytes in
      let start = Int(offset) + Self.tableHeader + index * Place.size
      return Place(start: Self.word(start, bytes), count: Self.word(start + 4, bytes))
    }
  }

  private static func word(_ offset: Int, _ bytes: UnsafeRawBufferPointer) -> UInt32 {
    bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
  }

  fileprivate func frame(at place: Place) -> Frame {
    if let index = place.largeIndex { return large[index] }
    return bytes.withUnsafeBytes {
      Frame(shared: UnsafeRawBufferPointer(rebasing: $0[Int(place.start)..<Int(place.start) + Int(place.count)]))
    }
  }

  fileprivate func has(_ frame: Frame, at place: Place) -> Bool {
    if let index = place.largeIndex { return large[index] == frame }
    guard Int(place.count) == frame.count else { return false }
    return bytes.withUnsafeBytes {
      frame.hasBytes(UnsafeRawBufferPointer(rebasing: $0[Int(place.start)..<Int(place.start) + Int(place.count)]))
    }
  }

  // MARK: filling

  /// Takes requests as they are read, each after the one that it may have frames in common with.
  struct Writer {
    private var requests = StoredRequests()
    private var bytes: [UInt8] = []
    private var large: [Frame] = []
    /// Where the frames of the request before are, and of the one that is being read.
    private var former: [Place] = []
    private var places: [Place] = []
    /// The frame that is being read, where it comes as a difference.
    private var altered: [UInt8] = []
    private var messageBytes = 0
    private var delimiter: Int?
    private static let delimiterSize = UInt32(Frame.delimiter.count)
    private var count = 0
    /// Beyond so many bytes there is another part: places have their limit.
    private let limit: Int

    /// - Parameter expected: bytes of the part, about.
    init(expecting expected: Int = 0, limit: Int = Int(Place.largeMark) / 2) {
      // Small messages take a third of their bytes in a journal; large frames are not among these bytes.
      bytes.reserveCapacity(min(3 * expected, expected + 16 << 20))
      self.limit = limit
    }

    /// Nothing that follows has anything in common with what was before.
    mutating func forgetFormer() { former.removeAll(keepingCapacity: true) }

    mutating func begin() {
      if bytes.count > limit { beginAnother() }
      places.removeAll(keepingCapacity: true)
      messageBytes = 0
      delimiter = nil
    }

    /// The next frame is that of the request before.
    /// - Returns: false if that has none there.
    mutating func repeatFrame() -> Bool {
      guard places.count < former.count else { return false }
      append(former[places.count])
      return true
    }

    /// The next frame is that of the request before but for a difference.
    /// - Returns: false if that is none from a small frame.
    mutating func alterFrame(_ difference: UnsafeRawBufferPointer) -> Bool {
      guard places.count < former.count, former[places.count].largeIndex == nil else { return false }
      let place = former[places.count]
      var frame: [UInt8] = []
      swap(&frame, &altered)
      frame.removeAll(keepingCapacity: true)
      let isOne = bytes.withUnsafeBytes { bytes in
        let before = UnsafeRawBufferPointer(rebasing: bytes[Int(place.start)..<Int(place.start) + Int(place.count)])
        return FrameDifference.read(difference, from: before) { frame.append(contentsOf: $0) }
      }
      if isOne { frame.withUnsafeBytes { append($0) } }
      swap(&frame, &altered)
      return isOne
    }

    mutating func append(_ frame: UnsafeRawBufferPointer) {
      let index = places.count
      if index < former.count, Int(former[index].count) == frame.count, Self.has(frame, at: former[index], of: bytes, large) {
        return append(former[index])
      }
      if frame.count >= JournalCodec.largeFrame {
        large.append(Frame(frame))
        return append(Place(start: UInt32(large.count - 1) | Place.largeMark, count: UInt32(clamping: frame.count)))
      }
      let start = bytes.count
      bytes.append(contentsOf: frame)
      append(Place(start: UInt32(start), count: UInt32(frame.count)))
    }

    private mutating func append(_ place: Place) {
      if delimiter == nil, place.count == Self.delimiterSize,
        Frame.delimiter.withUnsafeBytes({ Self.has($0, at: place, of: bytes, large) })
      {
        delimiter = places.count
      }
      messageBytes += Int(place.count)
      places.append(place)
    }

    /// - Returns: `nil` for what is no message.
    mutating func end() -> StoredRequest? {
      guard let delimiter, places.count - delimiter > Envelope.fixedParts, messageBytes <= Int(UInt32.max) else { return nil }
      let table = bytes.count
      append(number: UInt32(places.count))
      append(number: UInt32(delimiter))
      places.withUnsafeBytes { bytes.append(contentsOf: $0) }
      swap(&former, &places)
      count += 1
      return StoredRequest(requests: requests, table: UInt32(table), bytes: UInt32(messageBytes))
    }

    /// After the last one.
    mutating func finish() {
      // Where many are but differences nobody knows before how large they are together.
      requests.bytes = bytes.capacity > bytes.count + bytes.count / 4 ? bytes.withUnsafeBytes { Array($0) } : bytes
      requests.large = large
      requests.all = Amount(requests: count, bytes: bytes.count + large.reduce(0) { $0 + $1.count })
      (bytes, large, former, count) = ([], [], [], 0)
      requests = StoredRequests()
    }

    private mutating func beginAnother() {
      let frames = former.map { place in
        place.largeIndex.map { large[$0].bytes } ?? Array(bytes[Int(place.start)..<Int(place.start) + Int(place.count)])
      }
      finish()
      begin()
      for frame in frames { frame.withUnsafeBytes { append($0) } }
      swap(&former, &places)
    }

    private mutating func append(number: UInt32) { withUnsafeBytes(of: number) { bytes.append(contentsOf: $0) } }

    // Static: else a copy of all this is made for each frame.
    private static func has(
      _ frame: UnsafeRawBufferPointer, at place: Place, of bytes: [UInt8], _ large: [Frame]
    ) -> Bool {
      if let index = place.largeIndex { return large[index].hasBytes(frame) }
      guard let other = frame.baseAddress else { return true }
      return bytes.withUnsafeBytes { bytes in
        bytes.baseAddress.map { memcmp($0 + Int(place.start), other, frame.count) == 0 } ?? false
      }
    }
  }
}

/// A request among the bytes of others.
struct StoredRequest: Sendable {
  fileprivate let requests: StoredRequests
  fileprivate let table: UInt32
  private let bytes: UInt32

  fileprivate init(requests: StoredRequests, table: UInt32, bytes: UInt32) {
    self.requests = requests
    self.table = table
    self.bytes = bytes
  }

  /// As of `Envelope`.
  var byteCount: Int { Int(bytes) }

  var message: Envelope {
    let (count, delimiter) = requests.table(at: table)
    var frames: [Frame] = []
    frames.reserveCapacity(count)
    for index in 0..<count { frames.append(index == delimiter ? .delimiter : frame(index)) }
    guard let message = Envelope(frames, delimiter: delimiter, byteCount: byteCount) else {
      preconditionFailure("a request is kept only if it is a message")
    }
    return message
  }

  /// The same from whoever asks now.
  func message(from client: Frame) -> Envelope { message.routed(to: [client]) }

  /// Bytes of who asked.
  var identityBytes: Int {
    (0..<delimiter).reduce(0) { $0 + Int(requests.place($1, inTableAt: table).count) }
  }

  private func frame(_ index: Int) -> Frame { requests.frame(at: requests.place(index, inTableAt: table)) }
  private var delimiter: Int { requests.table(at: table).delimiter }

  /// Who asks; `nil` where it says nothing of that.
  var client: Frame? { delimiter > 0 ? frame(0) : nil }
  func isFrom(_ client: Frame) -> Bool {
    delimiter > 0 && requests.has(client, at: requests.place(0, inTableAt: table))
  }
  var signature: Frame { frame(delimiter + 1) }
  var header: Frame { frame(delimiter + 2) }
  var metadata: Frame { frame(delimiter + 4) }
  var content: Frame { frame(delimiter + 5) }
  var bufferCount: Int { requests.table(at: table).count - delimiter - 1 - Envelope.fixedParts }
  var buffers: [Frame] { (0..<bufferCount).map { frame(delimiter + 1 + Envelope.fixedParts + $0) } }
  func hasMetadata(_ frame: Frame) -> Bool { requests.has(frame, at: requests.place(delimiter + 4, inTableAt: table)) }

  /// Whether both have this in the same place; where they have not, it may be equal all the same.
  func sharesClient(with other: StoredRequest) -> Bool { shares(other) { _ in 0 } }
  func sharesMetadata(with other: StoredRequest) -> Bool { shares(other) { $0 + 4 } }

  private func shares(_ other: StoredRequest, _ index: (_ delimiter: Int) -> Int) -> Bool {
    guard requests === other.requests else { return false }
    let (own, others) = (index(delimiter), index(other.delimiter))
    return requests.place(own, inTableAt: table) == requests.place(others, inTableAt: other.table)
  }

  /// The part that it is of.
  var part: ObjectIdentifier { ObjectIdentifier(requests) }
  /// What that has, all of which is kept for as long as one request of it is.
  var partAmount: StoredRequests.Amount { requests.all }

  /// What it takes of that, with what it has in common with others.
  var amount: StoredRequests.Amount { StoredRequests.Amount(requests: 1, bytes: byteCount + requests.tableSize(at: table)) }

  /// Whether this holder keeps its part for little more than itself.
  func isLeftOver(of holder: StoredRequests.Holder) -> Bool {
    switch holder {
    case .scheduler: requests.ofScheduler.isLeftOver
    case .database: requests.ofDatabase.isLeftOver
    }
  }

  /// It is counted as one that this holder has.
  func keep(by holder: StoredRequests.Holder) {
    switch holder {
    case .scheduler: requests.ofScheduler.keep(amount)
    case .database: requests.ofDatabase.keep(amount)
    }
  }

  /// It is no more.
  /// - Returns: bytes that this holder keeps for little from now on; with a minus, that were so and are free.
  func letGo(by holder: StoredRequests.Holder) -> Int {
    switch holder {
    case .scheduler: requests.ofScheduler.letGo(amount, of: requests.all)
    case .database: requests.ofDatabase.letGo(amount, of: requests.all)
    }
  }
}
