"""Artifacts in a bucket: each file is one object with its SHA-256 in the object's metadata.

Nothing is sent twice, and nothing is held in memory as a whole.
"""

from __future__ import annotations

from typing import Any

from verge.fleet import aws, files, project, uploads


class Bucket:
    """A bucket of artifacts."""

    def __init__(self, where: project.Project, account: aws.Account, name: str) -> None:
        self.name = name
        self._account = account
        self._memory = where.state_dir / "publish" / "uploads.json"

    @property
    def _s3(self) -> Any:
        return self._account.client("s3")

    def exists(self) -> bool:
        """Whether the bucket is there. Raises CloudError if it is somebody else's."""
        try:
            with aws.explained(
                f"bucket names are unique in all of AWS: is {self.name} yours? "
                "change publish.bucket in gdk-config.json, or give --bucket"
            ):
                self._s3.head_bucket(Bucket=self.name)
        except aws.CloudError as error:
            if error.not_found:
                return False
            raise
        return True

    def create(self) -> None:
        """Make the bucket: private, and cleaned of uploads that nobody finished."""
        where = {"LocationConstraint": self._account.region}
        settings = (
            {} if self._account.region == "us-east-1" else {"CreateBucketConfiguration": where}
        )
        try:
            with aws.explained():
                self._s3.create_bucket(Bucket=self.name, **settings)
        except aws.CloudError as error:
            if error.code != "BucketAlreadyOwnedByYou":
                raise
        with aws.explained():
            self._s3.put_public_access_block(
                Bucket=self.name,
                PublicAccessBlockConfiguration=dict.fromkeys(
                    ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy",
                     "RestrictPublicBuckets"), True
                ),
            )  # fmt: skip
            self._s3.put_bucket_lifecycle_configuration(
                Bucket=self.name, LifecycleConfiguration={"Rules": [_UNFINISHED]}
            )

    def holds(self, upload: uploads.Upload) -> bool:
        """Whether the object is there with this content."""
        try:
            with aws.explained():
                found = self._s3.head_object(Bucket=self.name, Key=upload.key)
        except aws.CloudError as error:
            if error.not_found:
                return False
            raise
        same: bool = (
            found["ContentLength"] == upload.size
            and found.get("Metadata", {}).get(uploads.DIGEST) == upload.sha256
        )
        return same

    def send(self, upload: uploads.Upload, progress: uploads.Progress = files.silent) -> None:
        """Make the object what the file is; what arrived before is not sent again."""
        if upload.size <= uploads.PART_SIZE:
            with (
                files.explained("read", upload.path),
                upload.path.open("rb") as stream,
                aws.explained(),
            ):
                self._s3.put_object(
                    Bucket=self.name, Key=upload.key, Body=stream, **upload.arguments
                )
            return
        uploads.Parts(self._s3, upload, self._memory, progress).send()


_UNFINISHED = {
    "ID": "verge-unfinished-uploads",
    "Status": "Enabled",
    "Filter": {"Prefix": ""},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
}
