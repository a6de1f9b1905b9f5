"""Tables of cases, one for each kind of input."""

from benchmarks.hostile.tables import checkpoints, data, files, images, measured, models, options

ALL = [
    case for table in (options, images, models, checkpoints, measured, data, files) for case in table.CASES
]
