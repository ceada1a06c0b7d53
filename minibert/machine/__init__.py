"""The machine: processor, BLAS kernels, threads, and `minibert doctor`."""
