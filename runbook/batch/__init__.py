"""Many runs as one: which notebooks with which parameters, executed several at a time, told in one report."""
