# SPDX-License-Identifier: MIT
"""The usual API: Flask, Flask-Caching and SQLAlchemy, one cached view.

	CACHE=simple flask --app app run
	CACHE=redis REDIS_URL=redis://127.0.0.1:6379 flask --app app run
	CACHE=redis REDIS_URL=redis://127.0.0.1:6390 flask --app app run     # forecached for Redis clients
	CACHE=forecached flask --app app run                                 # and its backend

The last two need a daemon; refreshes come from `python3 -m forecached.worker app:create_app` beside it.
"""
import os

from flask import Flask, abort, jsonify, request
from flask_caching import Cache
from sqlalchemy import Column, Integer, String, create_engine
from sqlalchemy.orm import Session, declarative_base

USERS = 1000
TIMEOUT_S = 60

Base = declarative_base()
cache = Cache()


class User(Base):
    __tablename__ = "users"
    id = Column(Integer, primary_key=True)
    name = Column(String, nullable=False)
    revision = Column(Integer, nullable=False, default=0)


def cache_config(kind, url):
    """The lines that differ."""
    if kind == "simple":
        return {"CACHE_TYPE": "SimpleCache", "CACHE_THRESHOLD": 100000}
    if kind == "redis":
        return {"CACHE_TYPE": "RedisCache", "CACHE_REDIS_URL": url}
    if kind == "forecached":
        return {"CACHE_TYPE": "forecached.flask.ForecachedCache", "CACHE_OPTIONS": {"headers": True}}
    raise SystemExit("CACHE: %r is none of simple, redis, forecached" % kind)


def create_app(database=None, timeout=TIMEOUT_S, config=None):
    app = Flask("users")
    kind = os.environ.get("CACHE", "simple")
    app.config.update(cache_config(kind, os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")))
    app.config.update(config or {})
    cache.init_app(app)

    database = database or os.environ.get("DATABASE", "users.db")
    engine = create_engine("sqlite:///" + database, connect_args={"check_same_thread": False, "timeout": 30})
    app.extensions["engine"] = engine
    Base.metadata.create_all(engine)
    with Session(engine) as s:
        if s.get(User, 1) is None:
            s.add_all(User(id=n, name="user %d" % n, revision=0) for n in range(1, USERS + 1))
            s.commit()

    @app.get("/v1/users/<int:id>")
    @cache.cached(timeout=timeout)
    def user(id):
        with Session(engine) as s:
            found = s.get(User, id)
            if found is None:
                abort(404)
            return jsonify(id=found.id, name=found.name, revision=found.revision)

    @app.put("/v1/users/<int:id>")
    def rename(id):
        with Session(engine) as s:
            found = s.get(User, id)
            if found is None:
                abort(404)
            found.name = request.get_json()["name"]
            found.revision += 1
            s.commit()
        return "", 204

    return app
