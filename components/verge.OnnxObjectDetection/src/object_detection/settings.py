"""The component's configuration, checked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_ipc import values

from object_detection import session

if TYPE_CHECKING:
    from collections.abc import Mapping

_COMPONENT = re.compile(r"[a-zA-Z0-9\-_.]{1,128}")
THING_NAME = "THING_NAME"
"""Stands for the device's name in `iotCoreTopic`."""


@dataclass(frozen=True)
class Settings:
    """How to work; every one of these can change while the component runs."""

    model_component: str
    """The component whose model is used."""
    input_topic: str
    result_topic: str
    rejection_topic: str
    iot_core_topic: str
    publish_to_iot_core: bool
    output_directory: Path
    annotate: bool
    keep_results: int
    score_threshold: float | None
    """None: the card's."""
    iou_threshold: float | None
    classes: frozenset[str]
    """Labels that are reported; empty: all."""
    max_pixels: int
    running: session.Running
    """A change loads the model anew."""


def read_settings(configuration: Mapping[str, Any], device: str) -> Settings:
    """Read the configuration. Raises SettingError naming the setting."""
    topic = values.read_text(configuration, "iotCoreTopic", "verge/THING_NAME/detections")
    return Settings(
        model_component=_read_component(configuration),
        input_topic=values.read_text(configuration, "inputTopic", "verge/files"),
        result_topic=values.read_text(configuration, "resultTopic", "verge/detections"),
        rejection_topic=values.read_text(configuration, "rejectionTopic", "verge/rejections"),
        iot_core_topic=topic.replace(THING_NAME, device),
        publish_to_iot_core=values.read_boolean(configuration, "publishToIoTCore", default=True),
        output_directory=_read_directory(configuration),
        annotate=values.read_boolean(configuration, "annotate", default=True),
        keep_results=values.read_integer(configuration, "keepResults", 2000, low=1, high=1_000_000),
        score_threshold=_read_threshold(configuration, "scoreThreshold"),
        iou_threshold=_read_threshold(configuration, "iouThreshold"),
        classes=frozenset(values.read_texts(configuration, "classes", [])),
        running=_read_running(configuration),
        max_pixels=values.read_integer(
            configuration, "maxPixels", 50_000_000, low=1, high=1_000_000_000
        ),
    )


def _read_directory(configuration: Mapping[str, Any]) -> Path:
    text = values.read_text(configuration, "outputDirectory", "/var/lib/verge/results")
    if not text.startswith("/"):
        raise values.SettingError("outputDirectory", text, "an absolute path")
    return Path(text)


def _read_threshold(configuration: Mapping[str, Any], name: str) -> float | None:
    if _is_empty(configuration, name):
        return None
    return values.read_number(configuration, name, 0, low=0, high=1)


def _read_running(configuration: Mapping[str, Any]) -> session.Running:
    threads = None
    if not _is_empty(configuration, "threads"):
        threads = values.read_integer(configuration, "threads", 1, low=1, high=1024)
    return session.Running(threads, values.read_texts(configuration, "executionProviders", []))


def _is_empty(configuration: Mapping[str, Any], name: str) -> bool:
    value = configuration.get(name)
    return value is None or value == ""


def _read_component(configuration: Mapping[str, Any]) -> str:
    name = values.read_text(configuration, "modelComponent", "verge.OnnxModel")
    if not _COMPONENT.fullmatch(name) or name.strip(".") == "":
        raise values.SettingError("modelComponent", name, "the name of a component")
    return name
