"""Data sets, samplers and the loader, with torch.utils.data's names and semantics."""

from fastconv.utils.data.collate import default_collate, default_convert
from fastconv.utils.data.dataloader import DataLoader
from fastconv.utils.data.dataset import Columns, ConcatDataset, Dataset, Subset, TensorDataset, random_split
from fastconv.utils.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler

__all__ = [
    "BatchSampler",
    "Columns",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "TensorDataset",
    "default_collate",
    "default_convert",
    "random_split",
]
