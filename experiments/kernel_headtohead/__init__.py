"""Our queue beside fq_codel, cake, fq, pie on a real kernel: ``python -m experiments.kernel_headtohead``."""
