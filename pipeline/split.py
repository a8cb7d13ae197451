"""Stage split: train, validation and test parts in one layout, ``data/<NAME>/{trainval,test}``, with a manifest."""

import shutil
from uuid import uuid4

from datransnet.data.splits import split
from pipeline.console import say
from pipeline.study.study import Study


def main(study: Study) -> None:
    """Run the stage."""
    data = study.params.data
    manifest = split(
        data.card,
        study.raw,
        study.data,
        data.split,
        mismatch=data.mismatch,
        mask_above=data.mask_above,
        levels=data.levels,
        grouping=data.grouping,
        validation_share=data.validation_share,
        test_share=data.test_share,
        seed=study.params.seed,
    )
    _show(study)
    for id_, fault in manifest.excluded.items():
        say(f"split: {id_} is left out: {fault} (data.mismatch: exclude)")
    for id_, treatment in manifest.treated.items():
        say(f"split: {id_}: {treatment}")
    for remark in manifest.remarks:
        say(f"split: {remark}")
    parts = ", ".join(
        f"{part} {count['images']} images with {count['targets']} targets" for part, count in manifest.summary().items()
    )
    say(f"split: {manifest.dataset} {manifest.split}: {parts}; digest {manifest.digest[:12]}")


def _show(study: Study) -> None:
    """Make ``data/<NAME>`` a link to what was written. What stands there is ours: the stage check has seen to that."""
    if study.shown.is_dir() and not study.shown.is_symlink():  # where earlier versions wrote to
        shutil.rmtree(study.shown)
    link = study.shown.with_name(f".{study.shown.name}.{uuid4().hex[:8]}.partial")
    link.symlink_to(study.data.relative_to(study.shown.parent))
    link.replace(study.shown)
