"""The application layer: what people do with a sweep, as functions that take values and callbacks and return values.

Belongs here: putting config, tasks, plan, execution and analysis together (load, plan, run and resume, try, status,
watch, images, doctor, gc). Does not: printing, exit codes, options of a command line (raysweep.cli), and any rule of
measurement or statistics (the packages below). What the user should hear on the way goes to a callback. Heavy imports
(ray, scipy, pyarrow.dataset, kubernetes) happen inside the functions that need them.
"""
