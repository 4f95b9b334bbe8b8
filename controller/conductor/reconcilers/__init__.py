"""Reconcilers: each compares what is with what should be, and puts it right. They take no input,
may run at any time, and on any number of controllers at once.
"""
