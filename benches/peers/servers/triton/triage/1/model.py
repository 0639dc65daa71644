"""Triton's Python backend: records as JSON text in, probabilities and numbers of tokens out."""

import json
import sys
from pathlib import Path

import numpy as np
import triton_python_backend_utils as backend

# The interpreter that Triton starts reads no PYTHONPATH.
sys.path.append(str(Path(__file__).resolve().parents[3]))
from models import Notes


class TritonPythonModel:
    def initialize(self, _):
        self.model = Notes()

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        try:
            record = json.loads(backend.get_input_tensor_by_name(request, "record").as_numpy().item())
            probabilities, tokens, _ = self.model.classify(record)
        except (ValueError, KeyError) as error:
            return backend.InferenceResponse(error=backend.TritonError(str(error)))
        return backend.InferenceResponse([
            backend.Tensor("probabilities", probabilities.astype(np.float32)[None]),
            backend.Tensor("tokens", np.array([[tokens]], np.int32)),
        ])
