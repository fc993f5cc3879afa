"""Rules of HTTP without I/O: values in, values out."""
