extension Frame {
  /// Calls with the bytes of each of these frames and, where there is one, those of the frame at the same place of other ones. Counts no references:
  /// that would take longer than the comparison, where most frames are the very same.
  /// - Parameter body: gets bytes that are valid while it runs. The very same frame has the very same bytes.
  package static func compare(
    _ frames: [Frame], with others: [Frame],
    _ body: (_ index: Int, _ bytes: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer?) -> Void
  ) {
    frames.withUnsafeBufferPointer { frames in
      others.withUnsafeBufferPointer { others in
        for index in frames.indices {
          body(index, storage(index, frames), index < others.count ? storage(index, others) : nil)
        }
      }
    }
  }
}
