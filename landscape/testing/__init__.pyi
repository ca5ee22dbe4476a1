from .checkpoint import check_checkpoint as check_checkpoint
from .objective import check_objective as check_objective
from .report import Finding as Finding
from .report import Report as Report
from .result import check_file as check_file
from .result import check_result as check_result
