"""Brings pictures worth a look to S3, with what was found in them, and loses none on the way."""
