"""Roles: the same program in several processes. One process with all roles needs none of this.

engine answers requests out of Redis, remote is what an api or a broadcast holds instead of an
order manager, cluster starts all of them on one machine. See docs/scale.md.
"""
