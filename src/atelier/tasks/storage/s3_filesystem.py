"""S3 by exact keys: fsspec's file system without its spelling rules for paths, and listings page by page."""

from collections.abc import Iterator
from typing import Any

import s3fs  # type: ignore[import-untyped]

# a request that is answered with 500, 503 or SlowDown, or not at all, is sent again after growing delays, and fails
# after some 100 s at most, twelve requests: before the deadline of a picture
CLIENT = {"connect_timeout": 8, "read_timeout": 8, "retries": {"mode": "standard", "total_max_attempts": 3}}


class ExactKeys(s3fs.S3FileSystem):  # type: ignore[misc]  # untyped
    """S3 where a path is `bucket/key` as it is written.

    In s3fs a `/` at the end of a key, or `?versionId=` in it, has a meaning of its own; a key may be any text.
    """

    retries = 2  # of a request with all that `CLIENT` tries, and of that once more where an object is read

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return path

    def split_path(self, path: str, **_: Any) -> tuple[str, str, None]:
        """Bucket and key."""
        bucket, _slash, key = path.partition("/")
        return bucket, key, None

    def pages(self, folder: str, delimiter: str = "", **request: Any) -> Iterator[dict[str, Any]]:
        """What lies below `bucket/prefix`, a thousand objects a page, as S3 answers; sorted by key."""
        bucket, key, _ = self.split_path(folder)
        request |= {"Bucket": bucket, "Prefix": f"{key}/" if key else ""}
        while True:
            page: dict[str, Any] = self.call_s3("list_objects_v2", Delimiter=delimiter, **request)
            yield page
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

    def delete(self, paths: list[str]) -> None:
        """Delete objects of one bucket, a thousand a request; missing ones are ignored. Raises OSError."""
        for begin in range(0, len(paths), 1000):
            keys = [self.split_path(path)[:2] for path in paths[begin : begin + 1000]]
            objects = {"Objects": [{"Key": key} for _, key in keys], "Quiet": True}
            answer = self.call_s3("delete_objects", Bucket=keys[0][0], Delete=objects)
            if errors := answer.get("Errors"):
                raise OSError(f"{errors[0].get('Key')} cannot be deleted: {errors[0].get('Message')}")
