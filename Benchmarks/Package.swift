// swift-tools-version: 6.2
import PackageDescription

// A package of its own: who uses Apus does not need what its measurements need.

let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  .treatAllWarnings(as: .error),
]

let package = Package(
  name: "apus-benchmarks",
  dependencies: [
    .package(name: "apus", path: ".."),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
  ],
  targets: [
    .executableTarget(
      name: "apus-bench",
      dependencies: [
        .product(name: "ApusWire", package: "apus"), .product(name: "CZeroMQ", package: "apus"),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      path: "Sources/apus-bench", swiftSettings: strict),
    .executableTarget(
      name: "apus-swift-bench",
      dependencies: [.product(name: "Apus", package: "apus"), .product(name: "ApusAllocator", package: "apus")],
      path: "Sources/apus-swift-bench", swiftSettings: strict),
  ])
