"""The sweep as YAML: pydantic models, and one clear error for everything that is wrong with a file.

Belongs here: shapes and rules of the config. Does not: reading tasks, making plans, importing anything heavy.
"""
