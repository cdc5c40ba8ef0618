"""Tasks: what is to be solved, read from Harbor task directories, a bundled set, or made up for simulation.

Belongs here: reading and refusing task directories, digests, resource specs. Does not: bands, running anything.
"""
