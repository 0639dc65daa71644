"""LitServe: two worker processes for each model, two for HTTP, bodies as they come, answers from orjson.

    python with_litserve.py PORT

Its batching is off: with it, it answered fewer requests of these small models.
"""

import sys
from typing import Annotated

import litserve
import orjson
from fastapi import Depends, Request, Response

from models import Images, Notes


async def body(request: Request) -> bytes:
    return await request.body()


Body = Annotated[bytes, Depends(body)]


def json(value):
    return Response(orjson.dumps(value), media_type="application/json")


class ImageAPI(litserve.LitAPI):
    def setup(self, device):
        self.model = Images()

    def decode_request(self, request: Body):
        return self.model.read(request)

    def predict(self, image):
        return self.model.probabilities([image])[0]

    def encode_response(self, probabilities) -> Response:
        return json(self.model.answer([self.model.result(probabilities)]))


class NoteAPI(litserve.LitAPI):
    def setup(self, device):
        self.model = Notes()

    def decode_request(self, request: Body):
        return orjson.loads(request)["records"]

    def predict(self, records):
        return self.model.results(records)

    def encode_response(self, results) -> Response:
        return json(self.model.answer(results))


if __name__ == "__main__":
    apis = [ImageAPI(api_path="/v1/images/classify"), NoteAPI(api_path="/v1/notes/classify")]
    server = litserve.LitServer(apis, accelerator="cpu", workers_per_device=2, fast_queue=True)
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=2, log_level="warning",
        generate_client_file=False, access_log=False,
    )
