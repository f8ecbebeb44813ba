"""Signed delivery of what customers and operators want to hear of, by the Standard Webhooks specification."""
