"""Stage 4: the operator's side: settings, the pipeline, the command line."""
