"""Many scans on many machines: `medsr batch` in shards, as a Snakemake workflow: README.md tells."""
