diff <(seq 1 5) <(seq 1 6); echo "process substitution: $?"
mapfile -t lines < <(printf 'one\ntwo\n'); echo "${#lines[@]} ${lines[1]}"
declare -A map=([a]=1 [b]=2); echo "${map[b]}"
false | true; echo "${PIPESTATUS[*]}"
set -o pipefail; false | true; echo $?
cat <<< "here-string"
coproc cat; echo "to the coprocess" >&"${COPROC[1]}"; read -r answer <&"${COPROC[0]}"; echo "$answer"
exec {COPROC[1]}>&-; wait
timeout 0.05 sleep 100; echo "timeout: $?"
for i in {1..20}; do echo $((i * i)) & done | sort -n | tail -n 1
wait -n 2>/dev/null
set -m; sleep 0.02 & wait; set +m
ulimit -n 64; ulimit -n
[[ $OSTYPE == linux* ]] && echo matched
time_it() { TIMEFORMAT=; time "$@"; }; time_it true
trap 'echo "child ended"' CHLD; /bin/true; trap - CHLD
printf '%q\n' "a 'quoted' word"
