"""What a feature window remembers, as bytes that know which features they are of."""

import msgspec
import numpy as np
import numpy.typing as npt

__all__ = ["packed", "unpack"]


def packed(digest: str, state: npt.NDArray[np.float64], features: npt.NDArray[np.float32]) -> bytes:
    """Return state and features of the window of a spec (by its digest)."""
    return msgspec.msgpack.encode((digest, state.tobytes(), features.tobytes()))


def unpack(kept: bytes, digest: str, state: npt.NDArray[np.float64], features: npt.NDArray[np.float32]) -> None:
    """Put what was packed back into a window's arrays.

    Raises
    ------
    ValueError
        For what is of other features, or nothing that was packed.
    """
    try:
        known, old_state, old_features = msgspec.msgpack.decode(kept, type=tuple[str, bytes, bytes])
    except msgspec.MsgspecError:
        raise ValueError("no snapshot of a window") from None
    if known != digest or len(old_state) != state.nbytes or len(old_features) != features.nbytes:
        raise ValueError(f"a snapshot of other features: {known[:12]}, not {digest[:12]}")
    state[:] = np.frombuffer(old_state)
    features[:] = np.frombuffer(old_features, dtype=np.float32)
