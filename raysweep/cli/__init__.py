"""The command line: thin commands that parse, call the application layer and turn the outcome into an exit code.

Belongs here: options, what a terminal shows, and exit codes. Does not: what a command does (raysweep.study), nor any
rule of its own. Heavy imports (ray, scipy, pyarrow.dataset, kubernetes) happen inside the commands that need them.
"""
