"""What a call is, and which engine computes it.

call.py            a checked call: all but the tensors themselves
checks.py          shapes, dtypes, devices and values, or errors that say what to write
keywords.py        reductions, numbers and flags that a caller gives
reduce.py          who divides by what
call_cache.py      runners of calls that were checked before
runner.py          what runs the calls of one kind, from a loss's arguments
dispatch.py        which engine runs a call, or whether the definition does
engines.py         what an engine must be able to do, and which there are
autograd.py        an engine's value and gradients as nodes of torch's graph
eager.py           the definition, in plain torch
nans.py            a loss that is nan has a gradient that is nan
sharded.py         tensors that are distributed over ranks
circumstances.py   whether tensors are data in memory, or are traced or transformed
overrides.py       __torch_function__ and torch.jit.script
internals.py       every private name of torch that is used
cpu/               the CPU engine
"""
