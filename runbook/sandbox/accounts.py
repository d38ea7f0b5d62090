"""The account ids of the simulated organization, under the letters of the documentation.

A runs bucketAV, B has source buckets, C target and quarantine buckets. Who they are stands in `world.ACCOUNTS`.
"""

from __future__ import annotations

MANAGEMENT = "999999999999"
A = "111111111111"
B = "222222222222"
C = "333333333333"
D = "444444444444"
E = "555555555555"
F = "777777777777"
PILOT = "888888888888"
SEALED = "121212121212"
DORMANT = "131313131313"
LEFT = "666666666666"
"""On the allowlist, but not in the organization any more."""
