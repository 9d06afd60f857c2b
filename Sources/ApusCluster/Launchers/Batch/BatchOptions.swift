import ApusMessaging

/// What users say of the jobs of a batch system: ipyparallel's traits, and the options of the command line.
struct BatchOptions: Sendable, Hashable {
  /// The class whose traits these are, for people.
  var className = ""
  /// `nil` is the system's own.
  var submitCommand: [String]?
  var deleteCommand: [String]?
  var signalCommand: [String]?
  var jobIDPattern: String?
  var jobIDGroup = 0
  var template: String?
  /// Path of a script that is kept there; `nil` is one of its own for each job, in the profile, removed at the end.
  var scriptPath: String?
  var outputFile: String?
  /// Queue or partition.
  var queue = ""
  /// Further variables of the template; they win.
  var namespace: [String: String] = [:]
  var account = ""
  var qos = ""
  /// In the system's own form.
  var timeLimit = ""
  /// Further words for the submit command's options.
  var extra = ""
  /// Engines in one job at most.
  var perJob: Int?
}
