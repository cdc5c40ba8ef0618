"""The command line: thin commands that parse, compose the parts and turn the outcome into an exit code.

Belongs here: composition of config, plan, execution and analysis, and what a terminal shows. Does not: any rule of
its own. Heavy imports (ray, scipy, pyarrow.dataset, kubernetes) happen inside the commands that need them.
"""
