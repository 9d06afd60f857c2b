import ApusCluster
import Glibc

exit(await Invocation(CommandLine.arguments).run().rawValue)
