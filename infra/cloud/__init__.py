"""A deployed stage from the operator's side: its keys, customers, usage and plans, with boto3."""
