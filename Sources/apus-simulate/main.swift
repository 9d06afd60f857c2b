import ApusSimulation
import Glibc

/// `scripts/simulate`: runs one seed after another until the time is over or something is wrong.
var options = SimulateOptions(CommandLine.arguments.dropFirst())
exit(options.run())
