"""Where work runs: in this process, or on workers of an engine that exists (Dask, or any ``concurrent.futures.Executor``)."""
