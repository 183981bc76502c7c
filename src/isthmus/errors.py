"""What Isthmus raises and warns with.

Every error is a :class:`ValueError`, :class:`TypeError` or :class:`OSError` too, so that code
written for scikit-learn keeps working::

    IsthmusError
     ├── InvalidParameterError   (ValueError)  a constructor parameter or an argument
     │    └── InvalidTypeError   (TypeError)   the same, of a wrong type
     ├── CheckpointError         (ValueError)  a checkpoint of another fit, damaged, or in use
     ├── DataError               (ValueError)  rows that cannot be used, a data file that cannot be read
     ├── ModelFileError          (ValueError)  a saved model that is not one, or is damaged
     ├── CompressedDataError     (ValueError)  compressed data that are damaged, or not for this model
     ├── OutputExistsError       (FileExistsError)  writing would replace something
     ├── MemoryShortError        (MemoryError)  what was asked for does not fit into memory
     ├── DivergenceError         (FloatingPointError)  the loss of a training is no longer finite
     ├── DownloadError           (OSError)     a data set could not be fetched
     └── MissingDependencyError  (ImportError) an optional package is needed

    IsthmusWarning               (UserWarning)
     ├── CollapseWarning         the code of a variational autoencoder carries hardly anything
     ├── DataRangeWarning        rows are wildly outside the range of the training data
     ├── DeadCodeWarning         code units that carry nothing
     ├── DivergenceWarning       training went back to where its loss was finite, and on with a smaller rate
     ├── ReproducibilityWarning  a fit goes on where its results may differ in their last digits
     ├── DeviceMemoryWarning     the rows do not fit into the device's memory; training is slower
     ├── NoImprovementWarning    training ended above the loss that it started from
     ├── NotComparedWarning      a comparison leaves out a number or a baseline
     └── TrainingInterruptedWarning   Ctrl-C during fit; the weights so far are kept
"""

__all__ = [
    "CheckpointError",
    "CollapseWarning",
    "CompressedDataError",
    "DataError",
    "DataRangeWarning",
    "DeadCodeWarning",
    "DeviceMemoryWarning",
    "DivergenceError",
    "DivergenceWarning",
    "DownloadError",
    "InvalidParameterError",
    "InvalidTypeError",
    "IsthmusError",
    "IsthmusWarning",
    "MemoryShortError",
    "MissingDependencyError",
    "ModelFileError",
    "NoImprovementWarning",
    "NotComparedWarning",
    "OutputExistsError",
    "ReproducibilityWarning",
    "TrainingInterruptedWarning",
]


class IsthmusError(Exception):
    """Base of all errors that Isthmus raises on purpose."""


class InvalidParameterError(IsthmusError, ValueError):
    """A parameter has a value that cannot be used."""


class InvalidTypeError(InvalidParameterError, TypeError):
    """A parameter has a value of the wrong type."""


class CheckpointError(IsthmusError, ValueError):
    """A checkpoint is of another fit, is damaged, or is in use."""


class DataError(IsthmusError, ValueError):
    """Data, or a data file, cannot be used as it is."""


class ModelFileError(IsthmusError, ValueError):
    """A saved model is missing a part, damaged, or not a model at all."""


class CompressedDataError(IsthmusError, ValueError):
    """Compressed data are damaged, of a newer format, or were made with another model."""


class OutputExistsError(IsthmusError, FileExistsError):
    """Writing would replace an existing file or folder."""


class MemoryShortError(IsthmusError, MemoryError):
    """What was asked for does not fit into memory, also in small pieces."""


class DivergenceError(IsthmusError, FloatingPointError):
    """The loss of a training is no longer finite."""


class DownloadError(IsthmusError, OSError):
    """A data set could not be fetched, or what came was not it."""


class MissingDependencyError(IsthmusError, ImportError):
    """An optional package is needed for what was asked."""


class IsthmusWarning(UserWarning):
    """Base of all warnings that Isthmus gives."""


class CollapseWarning(IsthmusWarning):
    """The codes of a variational autoencoder hardly depend on the rows."""


class DataRangeWarning(IsthmusWarning):
    """Rows are wildly outside the range of the training data: in another unit or scaling, or out of order."""


class DeadCodeWarning(IsthmusWarning):
    """Some code units carry no information about any training row."""


class DeviceMemoryWarning(IsthmusWarning):
    """The training rows did not fit into the device's memory and are sent there batch by batch."""


class DivergenceWarning(IsthmusWarning):
    """A training diverged, went back to where it was finite, and goes on with a smaller learning rate."""


class IgnoredTargetWarning(IsthmusWarning):
    """A ``y`` was given that looks like rows to learn from, and is not used."""


class NoImprovementWarning(IsthmusWarning):
    """Training ended above the loss that it started from, and what it started from was kept."""


class NotComparedWarning(IsthmusWarning):
    """A comparison leaves out a number that cannot be computed, or a baseline that is not for such data."""


class ReproducibilityWarning(IsthmusWarning):
    """A fit goes on elsewhere than it began, so that its result may differ in the last digits."""


class RestorationWarning(IsthmusWarning):
    """A denoising autoencoder makes corrupted rows worse than they came."""


class TrainingInterruptedWarning(IsthmusWarning):
    """Training was stopped from the keyboard and the weights so far were kept."""
