/// The numbers that `--version` prints; nowhere else.
enum Version {
  static let apus = "0.1.0"
  /// The release of ipyparallel whose wire, options and files Apus speaks. Programs compare what `ipcluster --version` prints with it.
  static let ipyparallel = "9.2.0"
}
