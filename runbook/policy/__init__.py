"""Policy documents as values: written, compared, merged, evaluated and criticised. No AWS calls, no files."""
