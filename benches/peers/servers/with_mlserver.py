"""MLServer's runtimes: an encoded image, or a record as JSON text, is one element of a BYTES tensor.

    mlserver start mlserver

MLServer takes JSON alone over HTTP, so an image travels in base64. Of its settings these were the best for
models this small: adaptive batching, and no worker processes, to which every request would be copied.
"""

import numpy as np
import orjson
from mlserver import MLModel
from mlserver.codecs import Base64Codec, NumpyCodec, StringCodec
from mlserver.errors import InferenceError
from mlserver.types import InferenceResponse

from models import Images, Notes


class ImageRuntime(MLModel):
    async def load(self):
        self.served = Images(self.name)
        return True

    async def predict(self, payload):
        try:
            images = [self.served.read(data) for data in Base64Codec.decode_input(payload.inputs[0])]
        except ValueError as error:
            raise InferenceError(str(error))
        probabilities = self.served.probabilities(images).astype(np.float32)
        outputs = [NumpyCodec.encode_output("probabilities", probabilities)]
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)


class NoteRuntime(MLModel):
    async def load(self):
        self.served = Notes(self.name)
        return True

    async def predict(self, payload):
        try:
            texts = StringCodec.decode_input(payload.inputs[0])
            rows, tokens, _ = zip(*[self.served.classify(orjson.loads(text)) for text in texts])
        except (ValueError, KeyError) as error:
            raise InferenceError(str(error))
        outputs = [
            NumpyCodec.encode_output("probabilities", np.array(rows, np.float32)),
            NumpyCodec.encode_output("tokens", np.array(tokens, np.int32)),
        ]
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)
