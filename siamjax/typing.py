"""Array types and the conventions of the whole package, stated once.

- A *frame* is `uint8[H, W, 3]`, RGB. Families whose published weights expect BGR flip the channels
  inside their network; callers never think about it.
- A *box* is `float32[4] = (x, y, width, height)` in pixels, 0-based, `x` the left edge; the centre
  of a pixel lies at its integer coordinate.
- Features and images are NHWC. `variables` is the whole linen dict of arrays
  (`{"params": ..., "batch_stats": ...}`).
- Randomness enters as a `jax.random` key. Nothing on import touches a device, a file or a network.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float, UInt8

Array = jax.Array
AnyArray = jax.Array | np.ndarray

Frame = UInt8[AnyArray, "H W 3"]
Box = Float[AnyArray, "4"]
Scalar = Float[Array, ""]
Flag = Bool[Array, ""]
Params = Mapping[str, Any]
Variables = Mapping[str, Any]
