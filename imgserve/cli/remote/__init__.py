"""The commands for a running server, each in the module of its name. They talk HTTP and know nothing of files of it."""
