"""Rendering processes: admission queue, pool, wire format and worker."""
