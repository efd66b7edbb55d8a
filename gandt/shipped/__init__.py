"""In a wheel, lambdas/ and templates/ land here; in a checkout they stand at the top of the repository."""
