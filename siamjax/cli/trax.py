"""`siamjax trax`: a tracker that VOT's toolkit, or another client of the TraX protocol, drives."""

import os
import socket
import sys
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Command:
    """Speak the VOT/TraX protocol over standard input and output, until the client quits.

    In a workspace of the VOT toolkit, trackers.ini: [siamjax], label = siamjax, protocol = trax,
    command = siamjax trax --model default. With TRAX_SOCKET in the environment it connects to that
    port instead. All else that is printed goes to standard error. Regions come back as they were
    given where the tracker has the form: boxes, rotated boxes for polygons, masks.
    """

    model: str = "default"
    """Weights file (.npz) or the name of bundled weights."""
    version: int = 4
    """Of the protocol, told to the client, 1 to 4; 4 takes several objects."""
    json: bool = False
    """Print the number of frames answered as one JSON object, to standard error."""

    def run(self) -> dict[str, Any]:
        """Serve one client."""
        output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever else is printed
        port = os.environ.get("TRAX_SOCKET")
        if port:
            with socket.create_connection(("127.0.0.1", int(port))) as connection:
                stream = connection.makefile("rwb")
                return self._serve(stream, stream)
        with output:
            return self._serve(sys.stdin.buffer, output)

    def _serve(self, reader: Any, writer: Any) -> dict[str, Any]:
        from siamjax import weights
        from siamjax.adapters import trax
        from siamjax.evaluate.benchmarks import tracker_name

        tracker, variables = weights.load(self.model)
        name = tracker_name(self.model)
        told = {"name": name, "version": self.version}
        return {"frames": trax.serve(reader, writer, tracker, variables, **told)}
