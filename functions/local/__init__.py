"""The same parts on one machine: an HTTP server in API Gateway's and Lambda's place."""
