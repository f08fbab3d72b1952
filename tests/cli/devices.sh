#!/bin/sh
# devices --measure, and what depends on it: limits are kept, choosing and the roofline use them, and without a store both
# do without.
. tests/cli/support/cases.sh
WINNOW_CACHE=$scratch/cache
export WINNOW_CACHE
p=mb1ic64ih14oc64oh14kh3ph1
q=mb1ic16ih14oc16kh3ph1 # for which a driver compiles less

run 0 'without limits there is no roofline' conv $p --runs 1 --json
says out '"roofline_share":null'
end
run 0 'without limits choosing guesses' explain $p --threads 1
says out 'considered, predicted for 1 thread from guessed limits'
end
run 0 'measuring' devices --measure --backend cpu
says out 'reading L2'
says out 'GFLOP/s'
that 'warned' test ! -s err
end
run 0 'measuring as JSON' devices --measure --backend cpu --json
says out '"kept":true'
says out '"fma_128"'
says out '"read_memory"'
that 'not one object' test "$(wc -l <out)" -eq 1
end
run 0 'the cache has the limits' cache
says out 'machine'
end
run 0 'with limits there is a roofline' conv $p --plan direct --threads 1 --runs 3 --json
lacks out '"roofline_share":null'
end
run 0 'of compiled kernels only' conv $small --backend interp --runs 1 --json
says out '"roofline_share":null'
end
run 0 'with limits choosing uses them' explain $p --threads 1
says out 'from measured limits'
end
run 0 'for another instruction set too' explain $p --threads 1 --isa generic
says out 'for 1 thread from measured limits'
end
run 0 'a plan by name considers nothing' explain $p --plan old
lacks out 'considered'
end
run 0 'without a cache choosing guesses' explain $p --no-cache
says out 'from guessed limits'
end
run 0 'devices are listed' devices --json
says out '"backend":"interp","available":true'
says out '"backend":"opencl'
says out '"backend":"metal'
end
run 0 'one backend alone' devices --backend interp
lacks out 'opencl'
end
run 2 'the interpreter has no limits' devices --measure --backend interp
says err 'interpreter'
end
if "$WINNOW" devices --json | grep -q '"backend":"opencl:0:0","available":true'; then
  run 0 'without limits of the device there is no roofline' conv $q --backend opencl --runs 1 --json
  says out '"roofline_share":null'
  end
  run 0 'measuring a device' devices --measure --backend opencl:0:0 --json
  says out '"backend":"opencl:0:0"'
  says out '"kept":true'
  says out '"copy_memory"'
  says out '"read_local"'
  says out '"launch_us"'
  that 'not one object' test "$(wc -l <out)" -eq 1
  end
  run 0 'with limits of the device there is one' conv $q --backend opencl --runs 3 --json
  lacks out '"roofline_share":null'
  end
else
  echo 'no OpenCL device, so none was measured'
fi
run 0 'the source for Metal is shown everywhere' explain $p --backend metal --plan fused
says out 'kernel void'
says out 'threadgroup_barrier'
end
run 2 'but not for an instruction set that Metal has not' explain $p --backend metal --isa avx2
says err 'simt'
end
if [ "$(uname)" != Darwin ]; then
  run 2 'metal is for macOS' conv $p --backend metal
  says err 'built on macOS only'
  end
fi
WINNOW_CACHE=
run 0 'nothing is kept where there is no cache' devices --measure --backend cpu --json
says out '"kept":false'
end
run 2 'not of other commands' conv $p --measure
end
finish
