"""What a window remembers, as bytes, so that a restart goes on as if there had been no interruption."""

import msgspec
import numpy as np
import numpy.typing as npt

__all__ = ["packed", "unpack"]


def packed(digest: str, state: npt.NDArray[np.float64], features: npt.NDArray[np.float32]) -> bytes:
    """Return the state and the features of a window whose specification has a digest."""
    return msgspec.msgpack.encode((digest, state.tobytes(), features.tobytes()))


def unpack(kept: bytes, digest: str, state: npt.NDArray[np.float64], features: npt.NDArray[np.float32]) -> None:
    """Write what was packed into the arrays of a window.

    Raises
    ------
    ValueError
        For bytes of other features, or none of ours; nothing has changed then.
    """
    try:
        found, states, rows = msgspec.msgpack.decode(kept, type=tuple[str, bytes, bytes])
    except msgspec.MsgspecError:
        raise ValueError("no snapshot of a window") from None
    if found != digest or len(states) != state.nbytes or len(rows) != features.nbytes:
        raise ValueError(f"a snapshot of other features: {found[:12]}, not {digest[:12]}")
    state[:] = np.frombuffer(states)
    features[:] = np.frombuffer(rows, dtype=np.float32)
