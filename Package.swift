// swift-tools-version: 6.2
import PackageDescription

/// One strictness for every target, set here and nowhere else.
let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  .treatAllWarnings(as: .error),
]

/// The extension module exports its one entry point and nothing else, so that several Swift runtimes can live in one Python process.
let extensionModule: [LinkerSetting] = [
  .unsafeFlags(
    [
      "-static-stdlib", "-Xlinker", "--version-script=\(Context.packageDirectory)/Sources/ApusPython/exports.map", "-Xlinker", "-s",
      // Crypto brings in FoundationEssentials, whose own needs are not linked by themselves into a library.
      "-l_FoundationCollections", "-l_FoundationCShims",
    ],
    .when(configuration: .release))
]

/// A directory that is searched for libraries before the system's: the wheel's, where libzmq, jemalloc and SQLite are static ones
/// (`_backend/libraries.py`).
let ownLibraries: [LinkerSetting] = Context.environment["APUS_LIBRARIES"].map { [.unsafeFlags(["-L\($0)"])] } ?? []

let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let deque = Target.Dependency.product(name: "DequeModule", package: "swift-collections")
let heap = Target.Dependency.product(name: "HeapModule", package: "swift-collections")
let lifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")

let package = Package(
  name: "apus",
  products: [
    .executable(name: "apus", targets: ["apus"]),
    .library(name: "Apus", targets: ["Apus"]),
    .library(name: "ApusClient", targets: ["ApusClient"]),
    .library(name: "ApusAllocator", targets: ["CAllocator"]),
    // For programs that speak the protocol themselves, as the load program of Benchmarks does.
    .library(name: "ApusWire", targets: ["ApusMessaging", "Transport"]),
    .library(name: "CZeroMQ", targets: ["CZeroMQ"]),
    .library(name: "_core", type: .dynamic, targets: ["ApusPython"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
  ],
  targets: [
    .systemLibrary(name: "CZeroMQ", providers: [.apt(["libzmq3-dev"])]),
    .target(name: "CAdmission"),
    .target(name: "Transport", dependencies: ["CAdmission", "CZeroMQ", heap], swiftSettings: strict, linkerSettings: ownLibraries),
    .target(name: "ApusMessaging", dependencies: ["Transport", crypto], swiftSettings: strict),
    .target(name: "ApusProcess", swiftSettings: strict),
    .target(name: "ApusValues", dependencies: ["Transport"], swiftSettings: strict),
    .target(
      name: "ApusController",
      dependencies: [
        "ApusMessaging", "ApusProcess", "Transport", logging, deque, heap, lifecycle, .product(name: "GRDB", package: "GRDB.swift"),
      ],
      swiftSettings: strict),
    .target(name: "ApusEngine", dependencies: ["ApusMessaging", "ApusProcess", "ApusValues", "Transport"], swiftSettings: strict),
    .target(
      name: "ApusCluster", dependencies: ["ApusMessaging", "ApusProcess", "CProgramImage", "Transport"], swiftSettings: strict),
    .target(
      name: "ApusClient", dependencies: ["ApusMessaging", "ApusValues", "CZeroMQ", "Transport", logging, deque],
      swiftSettings: strict),
    .target(name: "CProgramImage"),
    .target(name: "CAllocator", linkerSettings: [.linkedLibrary("jemalloc")]),
    .target(
      name: "ApusTasks", dependencies: ["ApusEngine", "ApusMessaging", "ApusValues", "CProgramImage", "Transport"],
      swiftSettings: strict),
    .target(
      name: "Apus",
      dependencies: [
        "ApusClient", "ApusCluster", "ApusController", "ApusEngine", "ApusMessaging", "ApusProcess", "ApusTasks", "ApusValues",
        "Transport", logging, deque, lifecycle,
      ],
      swiftSettings: strict),
    .systemLibrary(name: "CPython", pkgConfig: "python3", providers: [.apt(["python3-dev"])]),
    .target(
      name: "ApusPython", dependencies: ["CPython", "ApusClient", "ApusEngine", "ApusMessaging", "Transport", logging],
      exclude: ["exports.map"],
      swiftSettings: strict, linkerSettings: extensionModule),
    .executableTarget(
      name: "apus",
      dependencies: [
        "ApusClient", "ApusCluster", "ApusController", "ApusMessaging", "ApusProcess", "CAllocator", "Transport", logging,
        lifecycle,
        .product(name: "UnixSignals", package: "swift-service-lifecycle"),
      ],
      swiftSettings: strict),
    .executableTarget(name: "WordCount", dependencies: ["Apus"], path: "Examples/WordCount", swiftSettings: strict),
    .executableTarget(name: "MonteCarloPi", dependencies: ["Apus"], path: "Examples/MonteCarloPi", swiftSettings: strict),
    .executableTarget(name: "TaskGraph", dependencies: ["Apus"], path: "Examples/TaskGraph", swiftSettings: strict),
    .executableTarget(
      name: "LargeArray", dependencies: ["Apus", "CAllocator"], path: "Examples/LargeArray", swiftSettings: strict),
    .executableTarget(
      name: "PythonFromSwift", dependencies: ["Apus"], path: "Examples/PythonFromSwift", swiftSettings: strict),
    // Both read what is internal to the states' modules: release builds need `-enable-testing`, as `scripts/simulate` says.
    .target(
      name: "ApusSimulation", dependencies: ["ApusClient", "ApusController", "ApusEngine", "ApusMessaging", "Transport", heap],
      swiftSettings: strict),
    .executableTarget(name: "apus-simulate", dependencies: ["ApusSimulation"], swiftSettings: strict),
    .executableTarget(name: "Faults", dependencies: ["Apus"], path: "Tests/Programs/Faults", swiftSettings: strict),
    .target(name: "TestSupport", path: "Tests/Support", swiftSettings: strict),
    .testTarget(name: "TransportTests", dependencies: ["CAdmission", "TestSupport", "Transport"], swiftSettings: strict),
    .testTarget(
      name: "ApusMessagingTests", dependencies: ["ApusMessaging", "TestSupport", "Transport", crypto], swiftSettings: strict),
    .testTarget(name: "ApusProcessTests", dependencies: ["ApusProcess", "TestSupport"], swiftSettings: strict),
    .testTarget(name: "ApusValuesTests", dependencies: ["ApusValues", "TestSupport", "Transport"], swiftSettings: strict),
    .testTarget(
      name: "ApusControllerTests",
      dependencies: [
        "ApusController", "ApusMessaging", "TestSupport", "Transport", logging, .product(name: "GRDB", package: "GRDB.swift"),
      ],
      swiftSettings: strict),
    .testTarget(
      name: "ApusEngineTests", dependencies: ["ApusEngine", "ApusMessaging", "TestSupport", "Transport"], swiftSettings: strict),
    .testTarget(
      name: "ApusClientTests",
      dependencies: [
        "ApusClient", "ApusController", "ApusMessaging", "ApusValues", "TestSupport", "Transport", logging,
      ],
      swiftSettings: strict),
    .testTarget(
      name: "ApusTests",
      dependencies: [
        "Apus", "ApusClient", "ApusCluster", "ApusController", "ApusMessaging", "ApusProcess", "ApusTasks", "ApusValues",
        "TestSupport", "Transport",
      ],
      swiftSettings: strict),
    .testTarget(name: "ApusSimulationTests", dependencies: ["ApusSimulation", "TestSupport"], swiftSettings: strict),
    .testTarget(name: "ApusClusterTests", dependencies: ["ApusCluster", "ApusMessaging", "ApusProcess"], swiftSettings: strict),
  ])
