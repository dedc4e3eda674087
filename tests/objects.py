"""An S3-compatible server on loopback (moto), with one bucket."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

BUCKET = "sweeps"


@contextmanager
def object_store() -> Iterator[dict[str, str]]:
    """The server inside the block: what the environment of those who use it says."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it tells of every request
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    _one_at_a_time(server)
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    try:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        boto3.client("s3", endpoint_url=endpoint, **keys).create_bucket(Bucket=BUCKET)
        yield {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
    finally:
        server.stop()


def _one_at_a_time(server: Any) -> None:
    """Let the server do one request after the other: it looks for an object, then puts it, without a lock."""
    turn, app = threading.Lock(), server._server.app

    def serve(environment: Any, start: Any) -> list[bytes]:
        with turn:
            return list(app(environment, start))

    server._server.app = serve
