"""A folder in an S3-compatible object store, by boto3.

There is no append and no rename: a record is an object of its own, numbered and never changed, and every
object is put whole. Put-if-absent is a conditional write (`If-None-Match: *`), which AWS, MinIO, Ceph, R2 and
others honour; `check` finds a store that does not. Where the store is and who we are, boto3 takes from the
environment and its own files: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_PROFILE ...
"""

import os
import re
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any

from dirsweep.storage import beats
from dirsweep.storage.holder import Holder
from dirsweep.storage.record import Record, line, parse

AT_ONCE = 16
"""Records that are fetched at the same time."""
ABSENT = ("404", "NoSuchKey")
TAKEN = ("412", "PreconditionFailed")
AT_THE_SAME_TIME = ("409", "ConditionalRequestConflict")
WRITER = "writer"
"""Metadata of an object that was put if absent: which call wrote it."""


@dataclass(frozen=True)
class Bucket:
    """The folder `prefix` of a bucket; see `Folder` for what each method does.

    Every method raises OSError, with the address and what the store said, if the store cannot be reached or
    refuses.
    """

    bucket: str
    prefix: str
    """"" for the bucket itself, else without a slash at either end."""

    @classmethod
    def named(cls, address: str) -> "Bucket":
        """The folder at "s3://bucket/prefix". ValueError if the address is none."""
        bucket, _, prefix = address.removeprefix("s3://").partition("/")
        if "@" in bucket:
            raise ValueError(
                "an s3:// address holds a user or a password (it is not shown); leave them out, and set "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"
            )
        parts = [part for part in prefix.split("/") if part]
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket) or {".", ".."} & set(parts):
            raise ValueError(f"{address}: is no address in an object store; write s3://BUCKET/FOLDER")
        return cls(bucket, "/".join(parts))

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def at(self, name: str) -> "Bucket":
        """The folder `name` inside this one; ".." is the one around it."""
        if name == "..":
            return Bucket(self.bucket, self.prefix.rpartition("/")[0])
        return Bucket(self.bucket, self._key(name))

    def absolute(self) -> "Bucket":
        """An address is the same from anywhere."""
        return self

    def put_if_absent(self, name: str, content: bytes) -> bool:
        """Write under the condition that there is nothing.

        A first try may have arrived though its answer did not; the one that follows is then refused because
        of our own object, which is known by its metadata.
        """
        mine = uuid.uuid4().hex
        while True:
            try:
                with self._explained(name):
                    self._call("put_object", name, Body=content, IfNoneMatch="*", Metadata={WRITER: mine})
            except FileExistsError:
                with self._explained(name):
                    return bool(self._call("head_object", name)["Metadata"].get(WRITER) == mine)
            except BlockingIOError:  # another call writes it at this very moment: ask again who was first
                continue
            return True

    def put(self, name: str, content: bytes) -> None:
        """Put the object, a large one in parts that appear together."""
        with self._explained(name):
            _client(*_whose()).upload_fileobj(BytesIO(content), self.bucket, self._key(name))

    def append(self, name: str, record: Record, *, number: int | None, durable: bool) -> None:
        """Put the next numbered object; a number that another writer took meanwhile is passed over."""
        content = line(record)
        if number is not None:
            if not self.put_if_absent(_numbered(name, number), content):
                raise FileExistsError(f"{self}/{_numbered(name, number)} is there already")
            return
        following = 1 + max((int(taken.rpartition("/")[2]) for taken in self.list(name)), default=-1)
        while not self.put_if_absent(_numbered(name, following), content):
            following += 1

    def has_records(self, name: str) -> bool:
        """Whether the first record is there."""
        return self.exists(_numbered(name, 0))

    def records(self, name: str) -> tuple[list[Record], int]:
        """The objects below the name, several fetched at a time."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = [parse(content) for content in pool.map(self.read, self.list(name))]
        whole = [record for record in found if record is not None]
        return whole, len(found) - len(whole)

    def folders(self) -> list[str]:
        """What is followed by a slash right inside."""
        top = f"{self.prefix}/" if self.prefix else ""
        found = self._below(top, "CommonPrefixes", "Prefix", Delimiter="/")
        return [PurePosixPath(folder).name for folder in found]

    def _below(self, top: str, kind: str, field: str, **choice: str) -> list[str]:
        with self._explained(""):
            pages = _client(*_whose()).get_paginator("list_objects_v2")
            asked = pages.paginate(Bucket=self.bucket, Prefix=top, **choice)
            return sorted(entry[field] for page in asked for entry in page.get(kind, []))

    def list(self, prefix: str) -> list[str]:
        """All objects below."""
        top = self._key(prefix)
        return [
            key.removeprefix(f"{self.prefix}/")
            for key in self._below(f"{top}/" if top else "", "Contents", "Key")
        ]

    def exists(self, name: str) -> bool:
        """Whether the object is there."""
        try:
            self.size(name)
        except FileNotFoundError:
            return False
        return True

    def read(self, name: str, first: int | None = None) -> bytes:
        """The object's content."""
        part = {} if first is None else {"Range": f"bytes=0-{first - 1}"}
        with self._explained(name):
            return bytes(self._call("get_object", name, **part)["Body"].read())

    def size(self, name: str) -> int:
        """The object's size."""
        with self._explained(name):
            return int(self._call("head_object", name)["ContentLength"])

    def written(self, name: str) -> float:
        """When the object was put."""
        with self._explained(name):
            return float(self._call("head_object", name)["LastModified"].timestamp())

    def age(self, name: str) -> float:
        """Seconds since the object was written, by the store's own clock. FileNotFoundError."""
        with self._explained(name):
            found = self._call("head_object", name)
        now = parsedate_to_datetime(found["ResponseMetadata"]["HTTPHeaders"]["date"])
        return float((now - found["LastModified"]).total_seconds())

    def delete(self, name: str) -> None:
        """Remove the object."""
        with self._explained(name):
            self._call("delete_object", name)

    def lock(self, name: str, refusal: Callable[[Holder], str]) -> AbstractContextManager[None]:
        """A numbered object with a beat beside it."""
        return beats.held(self, name, refusal)

    def holder(self, name: str) -> Holder | None:
        """Who beats."""
        return beats.holder(self, name)

    def _key(self, name: str) -> str:
        return "/".join(part for part in (self.prefix, name.strip("/")) if part)

    def _call(self, method: str, name: str, **fields: Any) -> Any:
        return getattr(_client(*_whose()), method)(Bucket=self.bucket, Key=self._key(name), **fields)

    @contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        """Turn what boto3 raises into what a disk would raise."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        place = f"{self}/{name}".rstrip("/")
        try:
            yield
        except ClientError as error:
            said = error.response["Error"]
            code = said.get("Code", "")
            if code in ABSENT:
                raise FileNotFoundError(f"{place}: no such object") from None
            if code in TAKEN:
                raise FileExistsError(f"{place}: is there already") from None
            if code in AT_THE_SAME_TIME:
                raise BlockingIOError(f"{place}: another call writes it") from None
            raise OSError(f"{place}: {code}: {said.get('Message', '')}") from None
        except (BotoCoreError, Boto3Error) as error:
            raise OSError(f"{place}: {error}") from None


def _numbered(name: str, number: int) -> str:
    return f"{name}/{number:08d}"


def _whose() -> tuple[int, str]:
    """What a client is for: this process, for a forked one makes its own, and the store's server."""
    environment = os.environ.get
    return os.getpid(), environment("AWS_ENDPOINT_URL_S3") or environment("AWS_ENDPOINT_URL") or ""


@cache
def _client(process: int, endpoint: str) -> Any:
    try:
        import boto3
        from botocore.config import Config
    except ImportError:
        raise ValueError("an s3:// address needs boto3: pip install 'dirsweep[s3]'") from None
    return boto3.client(
        "s3",
        config=Config(
            connect_timeout=5,
            read_timeout=60,
            retries={"mode": "standard", "max_attempts": 5},
            max_pool_connections=2 * AT_ONCE,
            # a server of one's own has seldom a name for each bucket, nor AWS's newest checksums
            s3={"addressing_style": "path" if endpoint else "auto"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
