"""Data: two image sets, and files of numbers read and written.

>>> from isthmus.data import load_mnist
>>> train, test = load_mnist()
>>> train
<Split mnist:train: 60000 images of 28 × 28>
"""

from isthmus.data._atomic import DRAFT_PREFIX, replacing
from isthmus.data._files import ENDINGS
from isthmus.data.bundled import load_mnist
from isthmus.data.fashion import load_fashion_mnist
from isthmus.data.readers import Data, read_data
from isthmus.data.splits import Split
from isthmus.data.writers import check_target, write_blocks, write_data

__all__ = [
    "DRAFT_PREFIX",
    "ENDINGS",
    "Data",
    "Split",
    "check_target",
    "load_fashion_mnist",
    "load_mnist",
    "read_data",
    "replacing",
    "write_blocks",
    "write_data",
]
