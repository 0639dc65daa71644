"""LitServe: two worker processes for each model, bodies as they come.

    python with_litserve.py PORT [--batch 1] [--api-servers 1]
"""

import argparse
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
        batched = self.max_batch_size > 1
        probabilities = self.model.probabilities(image if batched else [image])
        return list(probabilities) if batched else probabilities[0]

    def batch(self, inputs):
        return inputs

    def unbatch(self, output):
        return output

    def encode_response(self, output) -> Response:
        return json(self.model.answer([self.model.result(output)]))


class NoteAPI(litserve.LitAPI):
    def setup(self, device):
        self.model = Notes()

    def decode_request(self, request: Body):
        return orjson.loads(request)["records"]

    def predict(self, records):
        if self.max_batch_size > 1:
            return [self.model.results(one) for one in records]
        return self.model.results(records)

    def batch(self, inputs):
        return inputs

    def unbatch(self, output):
        return output

    def encode_response(self, output) -> Response:
        return json(self.model.answer(output))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--api-servers", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    paths = [(ImageAPI, "/v1/images/classify"), (NoteAPI, "/v1/notes/classify")]
    server = litserve.LitServer(
        [api(max_batch_size=options.batch, api_path=path) for api, path in paths],
        accelerator="cpu", workers_per_device=options.workers, fast_queue=True,
    )
    server.run(
        host="127.0.0.1", port=options.port, num_api_servers=options.api_servers, log_level="warning",
        generate_client_file=False, access_log=False,
    )
