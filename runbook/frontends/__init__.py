"""JupyterLab and Voilà, set up for these notebooks: each with its titles, for this machine only."""
