"""What a served version is for, and which accidents a challenger answers."""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal

Role = Literal["champion", "challenger", "shadow"]
CHAMPION: Role = "champion"  # answers, all but the challenger's share
CHALLENGER: Role = "challenger"  # answers a share of the accidents
SHADOW: Role = "shadow"  # scores a copy of each accident, and is never answered
SHARES = range(1, 100)  # percent of the accidents that a challenger may answer


def is_in_share(accident: str, share: int) -> bool:
    """Whether a challenger answers for the accident of this id.

    The same accident always comes to the same version, and one that is in a share is in every larger one.

    Parameters
    ----------
    share : percent, 0 to 100.
    """
    return int.from_bytes(blake2b(accident.encode(), digest_size=8).digest()) % 100 < share
