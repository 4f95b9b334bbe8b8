"""What modules do in check mode and in diff mode, for those that do the usual."""

from __future__ import annotations


class ModuleDocFragment:
    CHANGES = r"""
attributes:
  check_mode:
    description: Says what would change and changes nothing.
    support: full
"""

    SHOWS = r"""
attributes:
  diff_mode:
    description: Shows what is there before and after.
    support: full
"""

    REMOVES = r"""
attributes:
  check_mode:
    description: Says what would be removed and removes nothing.
    support: full
"""

    READS = r"""
attributes:
  check_mode:
    description: It never changes anything.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""
