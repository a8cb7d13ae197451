"""ONNX export, compared with PyTorch on the spot."""

import json
from pathlib import Path

import torch

from datransnet.atomic import atomic_path
from datransnet.data.images import Levels
from datransnet.errors import DATransNetError, TrainingError
from datransnet.models.registry import Network

OPSET = 18
"""ONNX operator set of the exported file."""
TOLERANCE = 1e-3
"""Largest difference of logits that passes for float32 rounding."""


def export_onnx(model: Network, path: Path, height: int, width: int, levels: Levels = "full") -> float:
    """Write a network for images N×1×height×width, any N, and return the largest difference of its logits.

    The file's metadata name the ``levels`` of the images. Height and width are fixed: how far an image is padded is
    decided while the graph is traced.

    Raises:
        DATransNetError: if the packages are missing (``pip install 'datransnet[export]'``).
        TrainingError: if the logits differ by more than rounding; nothing is written then.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  torch.onnx needs it
    except ImportError as error:
        raise DATransNetError(
            f"Export needs {error.name}. Install it with: pip install 'datransnet[export]'"
        ) from error
    model.cpu().float().eval()
    example = torch.rand(2, 1, height, width)
    program = torch.onnx.export(
        model,
        (example,),
        input_names=["image"],
        output_names=["logits"],
        opset_version=OPSET,
        dynamic_shapes={"image": {0: torch.export.Dim("batch")}},
        dynamo=True,
        verbose=False,
    )
    if program is None:
        raise TrainingError(f"PyTorch exported nothing; {path} was not written.")
    program.model.metadata_props["levels"] = json.dumps(levels)
    with atomic_path(path) as partial:
        program.save(partial)
        session = onnxruntime.InferenceSession(str(partial), providers=["CPUExecutionProvider"])
        worst = 0.0
        for batch in (1, 3):
            images = torch.rand(batch, 1, height, width)
            with torch.inference_mode():
                expected = model(images)
            (found,) = session.run(None, {"image": images.numpy()})
            worst = max(worst, (torch.from_numpy(found) - expected).abs().max().item())
        if not worst < TOLERANCE:
            raise TrainingError(f"The exported network's logits differ by {worst:.1e}; {path} was not written.")
    return worst
