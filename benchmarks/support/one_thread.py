"""To be imported first: one thread for all that is compared, no downloads, and no chatter.

Processes that are started later inherit it.
"""

import os

os.environ |= {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "TRANSFORMERS_VERBOSITY": "error",
}
