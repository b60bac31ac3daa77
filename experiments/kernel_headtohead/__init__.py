"""Our queue beside fq_codel, cake, fq and pie on a real kernel: ``python -m experiments.kernel_headtohead``."""
