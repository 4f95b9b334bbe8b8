"""Real hypervisors in namespaces on one machine, and the tiny guest image, for demo, tests and CI.

It needs root on Debian 12 or 13, the packages that `python -m lab packages` installs, and nothing
but Python's standard library. Of the product only the command line imports it, for `novella lab`.
"""
