"""The server process: sockets, connections, hot path and supervisor, over uvicorn."""
