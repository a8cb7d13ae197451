"""How many trainings fit on a GPU, measured before a stage starts: ``resources.gpus: null``."""

import math
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product
from multiprocessing import get_context
from typing import Any

import torch

from datransnet.errors import ParameterError
from datransnet.models import create_model
from pipeline.console import say
from pipeline.study.arguments import Arguments
from pipeline.study.params import Params
from pipeline.study.search_space import section_and_name
from pipeline.study.study import Study

FREE = 0.1
"""Share of a GPU's memory that stays free."""
CONTEXT = 600 * 2**20
"""Bytes that a process takes of a GPU besides its tensors."""


def share_of(peak: int, total: int) -> float:
    """The share 1/n of a GPU that each of n trainings gets, for the largest n that fits; rounded down to four digits.

    The GPU has ``total`` free bytes, of which the share `FREE` is kept free; a training takes ``peak`` bytes and
    `CONTEXT`. If not even one fits, the share is 1. Ray knows shares to four digits.

    >>> share_of(10 * 2**30, 80 * 2**30), share_of(200 * 2**30, 80 * 2**30)
    (0.1666, 1.0)
    """
    number = max(1, int((1 - FREE) * total // (peak + CONTEXT)))
    return math.floor(1e4 / number) / 1e4


def largest(params: Params) -> tuple[list[Arguments], int, int]:
    """Networks that trials may have, one for each combination of choices, and the largest batch and image size.

    Of a searched number only the largest value is tried. Dimensions that are searched under a condition are tried one
    at a time and not in combination.
    """
    base, batch, size = params.model.arguments(), params.recipe.batch_size, params.recipe.size
    networks, free = [base], dict[str, list[Any]]()
    for key, dimension in params.tune.space.items():
        section, name = section_and_name(key)
        values: list[Any] = dimension.largest()
        if section == "model" and dimension.when:
            networks += [base | {name: value} for value in values]
        elif section == "model":
            free[name] = values
        elif name == "batch_size":
            batch = max(batch, *map(int, values))
        elif name == "size":
            size = max(size, *map(int, values))
    networks += [base | dict(zip(free, values, strict=True)) for values in product(*free.values())]
    return networks, batch, size


def peak_of(networks: list[Arguments], batch: int, size: int) -> tuple[int, int]:
    """The most GPU memory that two training steps of any network reserve, and the memory free before, in bytes."""
    free = torch.cuda.mem_get_info()[0]
    for arguments in networks:
        model = create_model(**arguments).cuda()
        optimizer = torch.optim.Adam(model.parameters())
        for _ in range(2):
            optimizer.zero_grad()
            outputs = model.outputs(torch.rand(batch, 1, size, size, device="cuda"))
            sum(logits.square().mean() for logits in outputs.values()).backward()  # type: ignore[union-attr]
            optimizer.step()
        del model, optimizer
        torch.cuda.empty_cache()
    return torch.cuda.max_memory_reserved(), free


def with_share(study: Study) -> Study:
    """The study with its share of a GPU measured, if it leaves that open; without a GPU it trains on the CPU.

    The probe runs in a process of its own, whose memory is free again afterwards.

    Raises:
        ParameterError: if a training does not fit on the GPU at all.
    """
    if study.params.resources.gpus is not None:
        return study
    if not torch.cuda.is_available():
        if study.params.tune.gpu_hours is not None:
            raise ParameterError("tune.gpu_hours: there is no GPU here, so these hours never end. Set tune.wall_hours.")
        return replace(study, gpus=0.0)
    found = []
    for name, params in study.params.by_network.items():
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            try:
                found.append(pool.submit(peak_of, *largest(params)).result())
            except torch.OutOfMemoryError as error:
                raise ParameterError(f"The largest {name} of the space does not fit on the GPU: {error}") from None
    peak, total = max(found)
    share = share_of(peak, total)
    say(f"resources: a training takes {peak / 2**30:.1f} of {total / 2**30:.0f} free GiB; {int(1 / share)} share a GPU")
    return replace(study, gpus=share)
