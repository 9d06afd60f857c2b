// The client library begins here.
