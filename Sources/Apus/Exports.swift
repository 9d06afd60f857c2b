// A program imports Apus alone.
@_exported public import ApusClient
@_exported public import ApusController
@_exported public import ApusMessaging
@_exported public import ApusTasks
@_exported public import Distributed
