#!/bin/sh
# Man pages and completion of shells ($WINNOW_PAGES): every flag that --help has is in each of them, shells can read them, and
# bash and fish complete by them. What a shell that is missing would say is left out.
. tests/cli/support/cases.sh
pages=${WINNOW_PAGES:?the folder that cli_pages wrote}
has() { command -v "$1" >/dev/null 2>&1; }

for command in run compare conv bench explain tune devices cache; do
  run 0 "$command: every flag is in its man page and in what shells complete" $command --help
  page=$pages/winnow-$command.1
  sed -n 's/^  \(--[a-z-]*\).*/\1/p' out >flags
  that 'few flags' test "$(wc -l <flags)" -ge 4
  sed -n "s/^    $command) flags='\(.*\)' ;;/\1/p" "$pages/winnow" | tr ' ' '\n' >bash
  sed -n "/^    $command)/,/;;/p" "$pages/_winnow" | sed -n "s/^ *'\**\(--[a-z-]*\).*/\1/p" >zsh
  sed -n "s/.*subcommand_from $command' -l \([a-z-]*\).*/--\1/p" "$pages/winnow.fish" >fish
  sed -n '/^\.SH OPTIONS/,/^\.SH PROBLEM/s/^\\fB\([-\\a-z]*\)\\fR.*/\1/p' "$page" | tr -d '\\' >man
  for form in bash zsh fish man; do that "not the flags of $form" cmp -s flags $form; done
  says "$page" "winnow $command"
  end
done

run 0 'texts of --help are in the man page' conv --help
sed -n '/^One convolution/,/^$/p' out | tr '\n' ' ' | tr -s ' ' >about
sed -n '/^\.SH DESCRIPTION/,/^\.SH OPTIONS/p' "$pages/winnow-conv.1" | grep -v '^\.SH' | tr -d '\\' | tr '\n' ' ' >described
that 'another description' grep -q -F "$(sed 's/ *$//' about)" described
says "$pages/winnow-conv.1" '.SH EXIT STATUS'
says "$pages/winnow.1" 'WINNOW_CACHE'
says "$pages/winnow.1" 'winnow\-explain (1)'
end

run 0 'man can read the pages' --version
version=$(sed 's/winnow //' out)
for page in "$pages"/*.1; do
  says "$page" "\"winnow $version\""
  # what is made anew with every build has no date
  if has mandoc; then
    mandoc -Tlint -W warning "$page" | grep -v 'missing date' >lint
    that "mandoc: $(head -n 1 lint)" test ! -s lint
  fi
  if has groff; then
    groff -man -Tutf8 -ww -k "$page" >text 2>lint
    that "groff: $(head -n 1 lint)" test ! -s lint
    that 'nothing to read' test "$(wc -l <text)" -gt 30
  fi
done
end

# completes LINE WORDS: what bash offers behind this line
completes() {
  run 0 "bash completes '$1'" --version
  # shellcheck disable=SC2016
  bash -c 'compopt() { :; }; . "$1"; COMP_LINE=$2 COMP_POINT=${#2} _winnow; printf "%s\n" "${COMPREPLY[@]}"' - \
    "$pages/winnow" "$1" >offered 2>errors
  that "$(head -n 1 errors)" test ! -s errors
  that "offers $(tr '\n' ' ' <offered)" test "$(tr '\n' ' ' <offered)" = "$2 "
  end
}
if has bash; then
  run 0 'bash reads its script' --version
  that 'does not parse' bash -n "$pages/winnow"
  end
  touch data.npy net.onnx
  completes 'winnow co' 'compare conv'
  completes 'winnow conv --ma' '--math --max-memory --max-lines'
  completes 'winnow conv mb1 --math fp32-' 'fp32-fast fp32-strict'
  completes 'winnow conv --math=fp' 'fp32 fp32-fast fp32-strict'
  completes 'winnow conv --act ' 'none relu sigmoid tanh gelu abs'
  completes 'winnow conv --backend cpu:' 'cc'
  completes 'winnow explain --plan inl' 'inline-m'
  completes 'winnow compare --wino a' 'all'
  completes 'winnow conv --wino a' ''
  completes 'winnow conv --input da' 'data.npy'
  completes 'winnow conv --input=da' 'data.npy'
  completes 'winnow bench --peers=a' 'all'
  completes 'winnow bench --peers --ro' '--rounds'
  completes 'winnow conv --seed ' ''
  completes 'winnow run ne' 'net.onnx'
  completes 'winnow bench ne' 'net.onnx'
  completes 'winnow conv ne' ''
  completes 'winnow run --input net' 'net.onnx'
  completes 'winnow run --fit s' 'stretch'
fi
if has zsh; then
  run 0 'zsh reads its script' --version
  that 'does not parse' zsh -n "$pages/_winnow"
  end
fi
if has fish; then
  run 0 'fish reads and completes' --version
  fish -c "source $pages/winnow.fish; complete -C 'winnow conv --math fp32-'" 2>err | cut -f 1 >out
  that "$(head -n 1 err)" test "$(tr '\n' ' ' <out)" = 'fp32-fast fp32-strict '
  fish -c "source $pages/winnow.fish; complete -C 'winnow tu'" >out 2>>err
  says out 'tune'
  that "$(head -n 1 err)" test ! -s err
  end
fi
finish
