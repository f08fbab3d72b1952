#!/bin/sh
# --backend opencl: what is missing or wrong is one line and exit status 2; on a device all commands work.
. tests/cli/support/cases.sh

WINNOW_OPENCL=$scratch/none.so
export WINNOW_OPENCL
run 2 'without a library' conv $small --backend opencl
if grep -q 'built without OpenCL' err; then
  echo "ok $cases # SKIP $(cat err)"
  finish
fi
says err 'none.so'
end
run 0 'devices says what is missing' devices
says out opencl
says out 'none.so'
end
run 0 'devices says it in JSON' devices --json
says out '"backend":"opencl","available":false'
end
unset WINNOW_OPENCL
OCL_ICD_VENDORS=$scratch/nothing # of the usual ICD loader
export OCL_ICD_VENDORS
run 2 'without a driver' conv $small --backend opencl
says err OpenCL
end
unset OCL_ICD_VENDORS

run 2 'no such backend' conv $small --backend openc
says err 'expected cpu, cpu:cc, interp, opencl or metal'
end
run 2 'no such backend, though it begins alike' conv $small --backend openclx:0
says err 'expected cpu'
end
if ! "$WINNOW" devices --json 2>/dev/null | grep -q '"backend":"opencl:[^"]*","available":true'; then
  echo "ok $cases # SKIP no OpenCL device here"
  finish
fi
run 2 'no such platform' conv $small --backend opencl:99
says err "no OpenCL device is '99'"
says err '0:0 '
end
run 2 'no such device' conv $small --backend opencl:0:99
says err "'0:99'"
end
run 2 'no such name' conv $small --backend opencl:nobody
says err "'nobody'"
end
run 2 'no instruction set of a CPU' conv $small --backend opencl --isa avx2
says err 'simt'
end
for isa in simd simt; do
  run 0 "conv, $isa" conv $small --backend opencl --isa $isa --plan old --runs 2 --json --strict
  says out '"backend":"opencl"'
  says out "\"isa\":\"$isa\""
  lacks out '"wrong":true'
  end
done
run 0 'an instruction set from the environment' conv $small --backend opencl:0:0 --plan direct --runs 1 --json
says out '"backend":"opencl"'
end
WINNOW_ISA=generic
export WINNOW_ISA
run 0 'that of a CPU is not for a device' conv $small --backend opencl --plan direct --runs 1 --json
says out '"isa":"sim'
end
unset WINNOW_ISA
run 0 'a kernel that falls back' conv $small --backend opencl --plan old --max-lines 60 --runs 1 --json
says err 'runs in the interpreter'
lacks out '"wrong":true'
end
run 1 'with --strict it is an error' conv $small --backend opencl --plan old --max-lines 60 --strict --runs 1
end
run 0 'tune' tune mb1ic2ih5oc2kh3ph1 --backend opencl --isa simd --candidates 1 --seconds 1
end
run 0 'the source is OpenCL' explain $small --backend opencl --plan direct
says out '__kernel'
end
finish
