"""Ready label configs, a file each: `label_config="image_classification"` means `image_classification.xml`."""

from pathlib import Path

READY = {
    "image_classification": "Pictures: classify",
    "bounding_boxes": "Pictures: draw boxes around objects",
    "polygons": "Pictures: outline objects",
    "keypoints": "Pictures: mark points",
    "optical_character_recognition": "Pictures: read text",
    "text_classification": "Text: classify",
    "named_entity_recognition": "Text: mark names",
    "audio_classification": "Audio: classify",
    "audio_transcription": "Audio: transcribe",
    "video_classification": "Video: classify",
    "pairwise_comparison": "Two answers of language models: which is better",
    "response_grading": "Answer of a language model: grade and mend",
}
"""Their names, and what is labeled in plain words."""


def read(name: str) -> str:
    """Return a ready label config."""
    return Path(__file__).with_name(f"{name}.xml").read_text(encoding="utf-8")
