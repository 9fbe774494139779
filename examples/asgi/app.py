# SPDX-License-Identifier: MIT
"""FastAPI with learned TTLs:  forecached --dir /tmp/fc &  FORECACHED_DIR=/tmp/fc uvicorn app:app

	curl -i localhost:8000/v1/users/7
"""
import time

from fastapi import FastAPI

import forecached
from forecached.asgi import CacheMiddleware

app = FastAPI()
app.add_middleware(CacheMiddleware, routes={"/v1/users/{id}": 60, "/v1/clock": forecached.ttl})


@app.get("/v1/users/{id}")
def user(id: int):
    time.sleep(0.05)  # a slow database
    return {"id": id, "name": "user %d" % id}


@app.get("/v1/clock")
def clock():
    return {"minute": int(time.time() // 60)}
