"""A folder in an S3-compatible object store, by boto3.

There is no append and no rename: a record is an object of its own, numbered and never changed, and every
object is put whole. Readers fetch many records as one pack; each stays by itself too, for by its taken
number a driver that was cut off learns that another took over. Put-if-absent is a conditional write
(`If-None-Match: *`), which AWS, MinIO, Ceph, R2 and others honour; `cli.places` finds a store that does not.
Where the store is and who we are, boto3 takes from the environment and its own files: AWS_ENDPOINT_URL,
AWS_ACCESS_KEY_ID, AWS_PROFILE ...
"""

import re
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from io import BytesIO
from pathlib import PurePosixPath
from threading import Event
from typing import Any, TypeVar

from dirsweep.storage import beats
from dirsweep.storage.holder import Holder
from dirsweep.storage.record import Record, line, parse
from dirsweep.storage.server import ask

Answer = TypeVar("Answer")

AT_ONCE = 16
"""Records that are fetched at the same time."""
PACKS = "packs"
"""Where packs lie below the records that they hold: "ledger.jsonl/packs/00000200-00000399"."""
WRITER = "writer"
"""Metadata of an object that was put if absent: which call wrote it."""


@dataclass(frozen=True)
class Bucket:
    """The folder `prefix` of a bucket; see `Folder` for what each method does.

    Every method raises OSError, with the address and what the store said, if the store stays away or refuses.
    """

    bucket: str
    prefix: str
    """"" for the bucket itself, else without a slash at either end."""

    @classmethod
    def named(cls, address: str) -> "Bucket":
        """The folder at "s3://bucket/prefix". ValueError if the address is none."""
        bucket, _, prefix = address.removeprefix("s3://").partition("/")
        if "@" in bucket or ":" in bucket:  # a secret may hold a slash
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
        """The folder `name` inside this one; ".." is the one around it, ValueError if there is none."""
        if name == "..":
            if not self.prefix:
                raise ValueError(f"{self}: is a whole bucket; name a folder in it, {self}/FOLDER")
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
                self._call("put_object", name, Body=content, IfNoneMatch="*", Metadata={WRITER: mine})
            except FileExistsError:
                try:
                    return bool(self._call("head_object", name)["Metadata"].get(WRITER) == mine)
                except FileNotFoundError:  # it was there, and is deleted by now
                    return False
            except BlockingIOError:  # another call writes it at this very moment: ask again who was first
                continue
            return True

    def put(self, name: str, content: bytes) -> None:
        """Put the object, a large one in parts that appear together."""
        self._ask(name, lambda client: client.upload_fileobj(BytesIO(content), self.bucket, self._key(name)))

    def append(self, name: str, record: Record, *, number: int | None, durable: bool) -> None:
        """Put the next numbered object; a number that another writer took meanwhile is passed over.

        A damaged object does not hold its number: readers pass it over, as they do a line that was cut short.
        """
        content = line(record)
        if number is not None:
            mine = _numbered(name, number)
            if not self.put_if_absent(mine, content):
                if parse(self.read(mine)) is not None:
                    raise FileExistsError(f"{self}/{mine} is there already")
                self.put(mine, content)
            return
        following = 1 + max(self._numbers(name), default=-1)
        while not self.put_if_absent(_numbered(name, following), content):
            following += 1

    def has_records(self, name: str) -> bool:
        """Whether the first record is there."""
        return self.exists(_numbered(name, 0))

    def records(self, name: str) -> tuple[list[Record], int]:
        """The packs, then the records past them, several fetched at a time."""
        packs = self._packs(name)
        wanted = [_packed(name, first, last) for first, last in packs]
        wanted += [_numbered(name, number) for number in self._numbers(name, packs[-1][1] if packs else -1)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            contents = list(pool.map(self.read, wanted))
        lines = [line for content in contents for line in content.splitlines() or [content]]
        found = [parse(line) for line in lines]
        whole = [record for record in found if record is not None]
        return whole, len(found) - len(whole)

    def pack(self, name: str, first: int, records: Sequence[Record]) -> None:
        """Put them as one object; another writer's pack of the same records is the same."""
        content = b"".join(line(record) for record in records)
        self.put_if_absent(_packed(name, first, first + len(records) - 1), content)

    def _packs(self, name: str) -> list[tuple[int, int]]:
        """First and last numbers of the packs that follow one another from record 0 on."""
        found = [PurePosixPath(pack).name.split("-") for pack in self.list(f"{name}/{PACKS}")]
        last = {int(first): int(last) for first, last in found}  # sorted: of one beginning the longest
        chain: list[tuple[int, int]] = []
        following = 0
        while following in last:
            chain.append((following, last[following]))
            following = last[following] + 1
        return chain

    def _numbers(self, name: str, after: int = -1) -> list[int]:
        """Numbers of the records past `after` that are there, in order."""
        top = f"{self._key(name)}/"
        past = {"StartAfter": f"{top}{after:08d}"} if after >= 0 else {}
        found = self._below(top, "Contents", "Key", Delimiter="/", **past)
        return [int(number) for key in found if (number := key.removeprefix(top)).isdecimal()]

    def folders(self) -> list[str]:
        """What is followed by a slash right inside."""
        top = f"{self.prefix}/" if self.prefix else ""
        found = self._below(top, "CommonPrefixes", "Prefix", Delimiter="/")
        return [PurePosixPath(folder).name for folder in found]

    def _below(self, top: str, kind: str, field: str, **choice: str) -> list[str]:
        def entries(client: Any) -> list[str]:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=top, **choice)
            return sorted(entry[field] for page in pages for entry in page.get(kind, []))

        return self._ask("", entries)

    def list(self, prefix: str) -> list[str]:
        """All objects below."""
        top = self._key(prefix)
        return [
            key.removeprefix(f"{self.prefix}/")
            for key in self._below(f"{top}/" if top else "", "Contents", "Key")
            if not key.endswith("/")  # an empty object that some browsers of stores show as a folder
        ]

    def tidy(self) -> None:
        """Nothing: an object is whole or not there; parts of a large one go by the bucket's own rule."""

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

        def content(client: Any) -> bytes:
            found = client.get_object(Bucket=self.bucket, Key=self._key(name), **part)
            return bytes(found["Body"].read())

        return self._ask(name, content)

    def size(self, name: str) -> int:
        """The object's size."""
        return int(self._call("head_object", name)["ContentLength"])

    def written(self, name: str) -> float:
        """When the object was put."""
        return float(self._call("head_object", name)["LastModified"].timestamp())

    def age(self, name: str) -> float:
        """Seconds since the object was written, by the store's own clock. FileNotFoundError."""
        found = self._call("head_object", name)
        now = parsedate_to_datetime(found["ResponseMetadata"]["HTTPHeaders"]["date"])
        return float((now - found["LastModified"]).total_seconds())

    def delete(self, name: str) -> None:
        """Remove the object."""
        self._call("delete_object", name)

    def lock(self, name: str, refusal: Callable[[Holder], str]) -> AbstractContextManager[Event]:
        """A numbered object with a beat beside it."""
        return beats.held(self, name, refusal)

    def holder(self, name: str) -> Holder | None:
        """Who beats."""
        return beats.holder(self, name)

    def _key(self, name: str) -> str:
        return "/".join(part for part in (self.prefix, name.strip("/")) if part)

    def _call(self, method: str, name: str, **fields: Any) -> Any:
        key = self._key(name)
        return self._ask(name, lambda client: getattr(client, method)(Bucket=self.bucket, Key=key, **fields))

    def _ask(self, name: str, call: Callable[[Any], Answer]) -> Answer:
        return ask(f"{self}/{name}".rstrip("/"), call)


def _numbered(name: str, number: int) -> str:
    return f"{name}/{number:08d}"


def _packed(name: str, first: int, last: int) -> str:
    return f"{name}/{PACKS}/{first:08d}-{last:08d}"
