"""Triton's Python backend: encoded images in, probabilities out. One process an instance."""

import sys
from pathlib import Path

import numpy as np
import triton_python_backend_utils as backend

# The interpreter that Triton starts reads no PYTHONPATH.
sys.path.append(str(Path(__file__).resolve().parents[3]))
from models import Images


class TritonPythonModel:
    def initialize(self, _):
        self.model = Images()

    def execute(self, requests):
        """All requests that waited are computed as one batch; one that cannot be read fails alone."""
        answers, images = [None] * len(requests), {}
        for place, request in enumerate(requests):
            try:
                images[place] = self.model.read(backend.get_input_tensor_by_name(request, "image").as_numpy().item())
            except ValueError as error:
                answers[place] = backend.InferenceResponse(error=backend.TritonError(str(error)))
        if images:
            rows = self.model.probabilities(list(images.values())).astype(np.float32)
            for place, row in zip(images, rows):
                answers[place] = backend.InferenceResponse([backend.Tensor("probabilities", row[None])])
        return answers
