"""Chaos: a stream of requests to a real cloud while its parts are killed at random.

At the end everything that was accepted has ended in what it asked for or in a clean error, no
server is in a task state, and `novella audit` says that all agree.
"""
