"""FastAPI as its documentation has it: records checked by pydantic, answers turned into JSON by the framework.

    uvicorn with_fastapi:app --workers 2
"""

from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel

from models import Images, Notes


class Record(BaseModel):
    note: str
    fields: dict[str, float | str | None] | None = None


class Records(BaseModel):
    model: str
    records: list[Record]


app = FastAPI()
images, notes = Images(), Notes()


@app.post("/v1/images/classify")
async def classify_image(request: Request):
    try:
        image = images.read(await request.body())
    except ValueError as error:
        raise HTTPException(400, str(error))
    return images.answer([images.result(images.probabilities([image])[0])])


@app.post("/v1/notes/classify")
async def classify_notes(request: Records):
    try:
        return notes.answer(notes.results([record.model_dump() for record in request.records]))
    except ValueError as error:
        raise HTTPException(422, str(error))
