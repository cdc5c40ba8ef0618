#!/bin/sh
# exec: the process that fills its memory is the agent's own, so its death is the agent's.
exec python3 -I /strategy/agent.py
