#!/bin/sh
# Limits from the command line: memory, threads, instruction sets of other machines.
. tests/cli/support/cases.sh
layer=mb1ic16ih40oc16kh3ph1
needs=$("$WINNOW" conv $layer --plan old --threads 1 --runs 1 --max-memory 1K 2>&1 >out | sed -n 's/.*needs at least \([0-9]*\) bytes.*/\1/p')

run 2 'a limit below the least is one line that names it' conv $layer --plan old --threads 1 --runs 1 --max-memory 1K
says err 'the limit is 1024 (--max-memory)'
that 'the least is a number' test "${needs:-0}" -gt 1024
end
run 0 'exactly the least is enough' conv $layer --plan old --threads 1 --runs 1 --max-memory "$needs"
end
run 2 'a byte less is not' conv $layer --plan old --threads 1 --runs 1 --max-memory $((needs - 1))
end
run 0 'blocks shrink to fit' conv $layer --plan fused --threads 1 --runs 1 --max-memory 64K --json
says out ';t='
that 'within the limit' test "$(sed -n 's/.*"workspace_bytes":\([0-9]*\).*/\1/p' out | head -n 1)" -le 65536
end
run 0 'rounds shrink to fit' conv $layer --plan split --threads 1 --runs 1 --max-memory 300K --json
that 'within the limit' test "$(sed -n 's/.*"workspace_bytes":\([0-9]*\).*/\1/p' out | head -n 1)" -le 307200
end
run 0 'auto fits into a byte' conv $layer --threads 1 --runs 1 --max-memory 1
end
run 0 'more threads than cores' conv $layer --plan fused --threads 1024 --runs 1
[ "$(nproc)" -ge 1024 ] || says err 'warning: 1024 threads asked for, '
end
WINNOW_THREADS=1024 run 0 'more threads than cores, from the environment' conv $layer --plan fused --runs 1
[ "$(nproc)" -ge 1024 ] || says err 'warning: 1024 threads asked for, '
end
run 0 'kernels of another machine, to look at' explain $small --plan fused --isa neon --backend interp
says out 'vector'
end
run 2 'an instruction set that does not exist' explain $small --isa mmx --backend interp
says err 'sse2, avx2, avx512, neon'
end
finish
