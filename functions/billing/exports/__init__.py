"""Closed invoices in the forms that others read: a page, a table, FOCUS, Stripe, AWS Marketplace."""
