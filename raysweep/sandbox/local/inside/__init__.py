"""What runs inside a local sandbox as its process 1, started by the sandbox's own /usr/bin/python3.

Belongs here: commands, time-outs, archives, reaping. Standard library only, imports of each other only: this folder is
shown to the sandbox read-only and imported before anything of the task runs.
"""
