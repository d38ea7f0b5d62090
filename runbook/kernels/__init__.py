"""Warm kernels: Jupyter kernels that are forked from one process which has everything imported.

switch        turns them on for what this process starts, and names the reason where they are off
provisioner   the Jupyter kernel provisioner, `bucketav-runbook-warm`
forkserver    the process to fork from: started, checked, and asked for a kernel
process       a forked kernel as its owner sees it, with the interface of subprocess.Popen
child         the first moments of a forked kernel
preload       the modules and data that the forkserver holds
"""
