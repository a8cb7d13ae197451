"""Metadata of a study's data in Croissant 1.0 (https://docs.mlcommons.org/croissant): each image and its part."""

from pathlib import Path
from typing import Any

from datransnet.data.catalogue import Card
from datransnet.data.manifest import Manifest
from pipeline.publishing.seal import digest_of_file

CROISSANT = "croissant.json"
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""As the format's specification prescribes it."""
FIELDS = {
    "id": ("sc:Text", "Name of the image."),
    "part": ("sc:Text", "Part of the split: train, val or test."),
    "height": ("sc:Integer", "Height in pixels."),
    "width": ("sc:Integer", "Width in pixels."),
    "targets": ("sc:Integer", "Number of targets: 8-connected components of the mask."),
    "digest": ("sc:Text", "sha256 of the pixels of image and mask, as datransnet.data.manifest.pair_digest has it."),
}
"""Fields of the manifest's items: type and description."""


def croissant_of(manifest: Manifest, card: Card, path: Path, name: str, published: str) -> dict[str, Any]:
    """The metadata of a split dataset, without its images: these are fetched from where their authors have them.

    Args:
        manifest: of the split dataset.
        card: of the dataset.
        path: of the manifest's file.
        name: of that file beside the metadata.
        published: date of publication, YYYY-MM-DD.
    """
    pages = [source.page for source in card.sources]
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": f"{manifest.dataset}-{manifest.split}",
        "description": f"{manifest.dataset}, split {manifest.split}: {len(manifest.items)} infrared images with small "
        f"targets, and their masks. Digest {manifest.digest}.",
        "citeAs": card.citation,
        "license": card.terms,
        "url": pages[0] if pages else "https://arxiv.org/abs/2409.19599",
        "version": "1.0.0",
        "datePublished": published,
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": "manifest",
                "name": "manifest",
                "description": "Every image with its part, its size, its targets and a digest of its pixels.",
                "contentUrl": name,
                "encodingFormat": "application/json",
                "sha256": digest_of_file(path),
            }
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "images",
                "name": "images",
                "description": "The images of the split.",
                "key": {"@id": "images/id"},
                "field": [
                    {
                        "@type": "cr:Field",
                        "@id": f"images/{field}",
                        "name": field,
                        "description": description,
                        "dataType": kind,
                        "source": {
                            "fileObject": {"@id": "manifest"},
                            "extract": {"jsonPath": f"$.items[*].{field}"},
                        },
                    }
                    for field, (kind, description) in FIELDS.items()
                ],
            }
        ],
    }
