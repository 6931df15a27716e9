"""The application: pipeline, broker, spool, outbound, supervision, command line; see `gateway/README.md`."""
