"""The audit: database, placement, image store and hosts, compared with each other.

books.py reads what should be, reports.py what hosts say there is; comparisons are pure functions
over the two (database.py, host.py). looks.py puts them together on a live cloud.
"""
