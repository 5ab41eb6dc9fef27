"""The CPU engine: value and gradients in one pass over memory, by kernels that LLVM compiles.

engine.py        the functions of an engine: which kernels take a call
elements.py      pointwise losses: tensors laid out in one order, a printed kernel
rows.py          row-wise losses: the plan of a loss, its hand-written kernel
torch_op.py      torch's own operation, where a call is tiny
operands.py      tensors as memory that one loop can walk
memory.py        memory for gradients: huge pages, used again
kernels.py       kernel text -> object code -> a function on addresses
threads.py       a kernel on torch's threads, block by block
compiler.py      kernel text -> object code, by LLVM
language.py      which part of Python kernel text is, and its instructions
intrinsics.py    the functions that kernel text may call, as instructions
vectormath/      exp, log and their relatives, vectorisable
registers.py     values of a kernel in LLVM
processor.py     the processor that is compiled for
words.py         the names that row-wise kernels are written with
disk.py          the folder of compiled kernels
folder.py        a folder that only its owner can change
objects.py       object files, checked before they are loaded
once.py          what is made late, once, and by one thread
native.py        native.cpp: how it is built and loaded
native.cpp       small calls without Python
recipes.py       which calls native.cpp runs by itself
"""
