"""Stage split: train, validation and test parts in one layout, ``data/<NAME>/{trainval,test}``, with a manifest."""

from datransnet.data.splits import split
from pipeline.support.console import say
from pipeline.support.paths import Study


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
