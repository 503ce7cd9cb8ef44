# Run by bash and by dash.
set -u
echo "pipeline: $(seq 1 1000 | grep 7 | sort -rn | head -n 3 | tr '\n' ' ')"
(cd / && pwd; exit 3); echo "subshell: $?"
x=outer; (x=inner; echo "$x"); echo "$x"
cat <<END
here-document: $x $((6 * 7)) $(echo substituted)
END
cat <<'END'
quoted: $x $(not run)
END
{ echo to a file; echo and more; } > out
while read -r line; do echo "read: $line"; done < out
sed s/more/less/ out >> out2; cat out2
sleep 0.05 & first=$!
(exit 7) & second=$!
wait "$first"; echo "background: $?"
wait "$second"; echo "background: $?"
for i in 1 2 3 4 5; do (sleep 0.0$i; echo "job $i" >> jobs) & done; wait
sort -o jobs jobs; cat jobs
sh -c 'kill -TERM $$'; echo "killed: $?"
sh -c 'exit 200'; echo "exit: $?"
nothing-like-this 2>/dev/null; echo "not found: $?"
trap 'echo trapped USR1' USR1
kill -USR1 $$
trap 'echo trapped TERM; exit_now=1' TERM
(sleep 0.05; kill -TERM $$) &
exit_now=0
while [ $exit_now = 0 ]; do sleep 0.01; done
wait
trap - TERM
false || echo "or"; true && echo "and"
yes | head -n 2
f() { local v=$1; echo "function $v"; return 4; }
f argument; echo "$?"
printf '%s\n' a b c | while read -r l; do printf '%s.' "$l"; done; echo
exec 3> third; echo "through 3" >&3; exec 3>&-; cat third
mkdir -p a/b/c; touch a/b/c/file; ls -R a; umask 077; mkdir private; umask
case $(uname -s) in Linux) echo "a case";; esac
eval 'echo "evaluated"'
echo "error" >&2
trap 'echo "at the end"' EXIT
exit 5
