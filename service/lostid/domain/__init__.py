"""The rules of the registry: pure functions of values. No I/O, no clock, no environment.

`today`, now and the zone are passed in.
"""
