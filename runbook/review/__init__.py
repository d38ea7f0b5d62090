"""Documentation as code: the outline of the product page, and whether the notebooks cover it and are current."""
