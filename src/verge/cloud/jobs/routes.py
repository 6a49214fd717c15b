"""The routes of both job APIs, and of the two paths that they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from werkzeug.wrappers import Request, Response

from verge.cloud.http import routing
from verge.cloud.jobs import control, data, rest


def of(control: control.Control, data: data.Data) -> Sequence[routing.Route]:
    """Return all routes, those of `iot-jobs-data` first: `$next` is no job's id."""
    shared = (
        ("/things/{thing}/jobs", control.list_for_thing, data.pending),
        ("/things/{thing}/jobs/{job}", control.describe_execution, data.describe),
    )
    return (
        *data.routes(),
        *(
            routing.Route.of("GET", path, rest.answering(_either(iot, jobs_data)))
            for path, iot, jobs_data in shared
        ),
        *control.routes(),
    )


def _either(iot: routing.Handler, jobs_data: routing.Handler) -> routing.Handler:
    def handle(request: Request, values: Mapping[str, str]) -> Response:
        handler = jobs_data if data.meant(request) else iot
        return handler(request, values)

    return handle
