#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# nested.sh WEIR - the scenario `nested`, ten times as fast or so. A
# measured time is never less than predicted; how much more it may be depends
# on the machine and is not checked.
. "$(dirname "$0")/lib.sh"
plan 26

# only_whole: the output consists of whole lines of the known forms.
only_whole() {
    local s='[0-9]+\.[0-9]{2} s' name='[a-z]+'
    local three="\[$name, $name, $name\]"
    local line='(nested groups|the same|[0-9]+ jobs|jobs of|ten jobs).*'
    line+='|three jobs: .*; scale [0-9.]+'
    line+='| +predicted +measured'
    line+="|  (hello|bye  )  $name +$s +$s|  all of them +$s +$s"
    line+="|  \[$three, $three\]"
    line+='| +concurrent jobs|  a job +max( +predicted +measured| +threads){3}'
    line+="|  [a-z_(), ]+( +[0-9]+){4} +$s +$s"
    line+='|  would wait\? +submitted +predicted +measured'
    line+="|  (yes|no) +(WEIR_[A-Z_]+|for 0\.5 s) +(accepted|refused|gave up)"
    line+=" +$s +$s|  all jobs ended +$s +$s"
    line+='| +ended, if it listens +ended, if it does not'
    line+='|  delay +result +predicted +measured +predicted +measured'
    line+="| +[0-9]+  (used|abandoned|differs)( +$s){4}"
    line+='|  stopped waiting at, predicted [0-9. ]+ s, measured [0-9. ]+ s'
    line+='|  answers: [0-9]+ made, [0-9]+ used, [0-9]+ came late and were'
    line+=' dropped'
    line+="|  (One|Two), [0-2] +$s +$s|  all +$s +$s"
    line+='|  the counter, of 6000: [0-9]+'
    if grep -vE "^($line)\$" out | sed 's/^/# /' | grep .; then
        return 1
    fi
    all is "$(lines out)" 144 -- test -z "$(tail -c 1 out)"
}

# part TITLE: the lines after the one that begins with TITLE, up to the next.
part() {
    awk -v title="$1" '/^[^ ]/ { here = index($0, title) == 1; next }
        here' out
}
# times TITLE WORD: name|predicted|measured of each line with WORD.
times() {
    part "$1" | sed -nE \
        "s/^  $2 +([a-z]+) +([0-9.]+) s +([0-9.]+) s\$/\\1|\\2|\\3/p"
}
# early: of lines whose last two times are predicted and measured, those whose
# measured time is less.
early() {
    sed -nE 's/^(.*[^0-9.])([0-9.]+) s +([0-9.]+) s$/\2 \3 \1/p' |
        awk '$2 + 0.001 < $1 + 0'
}
predicted() {
    times "$1" bye | LC_ALL=C sort -t '|' -k 1,1 | cut -d '|' -f 1,2 | xargs
}
# whole_party TITLE FIRST SECOND: no guest of the second party of an evening
# comes before all guests of the first have left.
in_series() {
    part "$1" | awk -v first=" $2 " -v second=" $3 " '
        $1 == "bye" && index(first, " " $2 " ") { left++ }
        $1 == "hello" && index(second, " " $2 " ") && left < 3 { bad = 1 }
        END { exit bad || left != 3 }'
}
evenings='  [[joe, sam, bob], [jill, jane, mary]]
  [[joseph, joey, jo], [alex, alexandria, alexandra]]'
lists() { part "$1" | grep '^  \['; }
both_in_series() {
    all in_series "$1" "joe sam bob" "jill jane mary" -- \
        in_series "$1" "joseph joey jo" "alex alexandria alexandra"
}

run show nested --scale 0.1
ok "nested ends with 0 and prints nothing to standard error" \
    all is "$code" 0 -- test ! -s err
ok "every line of nested is whole" only_whole
ok "seven workers: guests are predicted to leave at the times of the formula" \
    is "$(predicted nested)" "alex|0.90 alexandra|0.60 alexandria|0.70\
 background|2.00 bob|0.10 jane|0.70 jill|0.90 jo|0.10 joe|0.50 joey|0.30\
 joseph|0.50 mary|0.60 sam|0.30"
ok "no guest comes or leaves early, and the parties do not end early" \
    all is "$(part nested | early)" "" -- \
    is "$(times nested hello | wc -l | tr -d ' ')" 13
ok "a party begins when the previous one has ended" both_in_series nested
ok "results are nested like the groups, in the order of submission" \
    is "$(lists nested)" "$evenings"
ok "the long job ends last, after all jobs that were waited for" \
    is "$(part nested | tail -n 1 | awk '{ print $1, $2 }')" \
    "bye background"
on_two=$(part "the same groups without" | grep 'all of them')
ok "two workers are predicted to take 1.60 s and do not take less" \
    all is "$(echo "$on_two" | awk '{ print $4 }')" 1.60 -- \
    is "$(echo "$on_two" | early)" ""
ok "two workers run all guests in series and keep the results in place" \
    all is "$(times "the same groups without" bye | wc -l | tr -d ' ')" 12 -- \
    both_in_series "the same groups without" -- \
    is "$(lists "the same groups without")" "$evenings"
ok "one worker runs the guests one after another, the oldest job first" \
    is "$(times "the same groups on one" bye | cut -d '|' -f 1,2 | xargs)" "joe|0.50\
 sam|0.80 bob|0.90 jill|1.30 jane|1.50 mary|1.60 joseph|2.10 joey|2.40\
 jo|2.50 alex|2.90 alexandria|3.10 alexandra|3.20"
ok "one worker runs no guest earlier than predicted" \
    all is "$(part "the same groups on one" | early)" "" -- \
    is "$(lists "the same groups on one")" "$evenings"

# grown: for each pool its maximum, the predicted and measured peaks of running
# jobs, its threads and its name.
n=' +([0-9]+)'
grown() {
    sed -nE "s/^  ([a-z_(), ]+)$n$n$n$n .*/\\2 \\3 \\4 \\5 \\1/p" out
}
ok "a pool never has more threads or running jobs than workers_max" \
    all is "$(grown | wc -l | tr -d ' ')" 6 -- \
    is "$(grown | awk '$3 > $1 || $4 > $1')" ""
ok "jobs that compute do not make a pool grow" \
    is "$(grown | awk '/computes/ && $3 <= 2 && $4 <= 3 { print "two" }')" two
ok "no pool takes less time than predicted, however it grew" \
    is "$(part '8 jobs' | early)" ""
ok "no question is answered or abandoned before its time" \
    all is "$(part 'ten jobs' | early)" "" -- \
    is "$(part 'ten jobs' | sed 's/ s  *[0-9.]* s  *[0-9.]* s$/ s/' |
        sed -nE 's/^ +[0-9]+ +[a-z]+ +([0-9.]+) s +([0-9.]+) s.*/\1 \2/p' |
        awk '$2 + 0.001 < $1 + 0')" ""
ok "a section that has the only permit is not interleaved" \
    is "$(grep -c '^  the counter, of 6000: 6000$' out)" 2
slots() {
    part "the same jobs on a pool" | sed -nE "s/^  $1, .* ([0-9.]+) s\$/\\1/p" |
        sort -n | xargs
}
ok "sections that share a permit begin one after another" \
    all at_least "$(slots One | cut -d ' ' -f 2)" 0.1 -- \
    at_least "$(slots One | cut -d ' ' -f 3)" 0.2 -- \
    at_least "$(slots Two | cut -d ' ' -f 1)" 0.2 -- \
    at_least "$(slots Two | cut -d ' ' -f 3)" 0.4 -- \
    is "$(grep -E '^  all  ' out | early)" ""

# Parts that need more time, so that they work on slow machines.
run show nested --part growth --scale 0.4
ok "jobs that block make a pool grow, whether they declare it or not" \
    is "$(grown | awk '$1 > 2 && !/computes/ && $3 > 2' | wc -l | tr -d ' ')" 4
run show nested --part ask --scale 2
ok "WEIR_NO_WAIT is rejected where a submit would wait, and a deadline passes" \
    is "$(awk '$1 ~ /yes|no/ { print $1, $2 }' out | xargs)" \
    "no WEIR_NO_WAIT no WEIR_NO_WAIT yes WEIR_NO_WAIT yes for yes WEIR_FOREVER"
ok "a submit that waits is accepted once there is room" \
    all is "$(grep -oE 'accepted|refused|gave up' out | xargs)" \
    "accepted accepted refused gave up accepted" -- is "$(early <out)" ""
# Slowly: the closest two are half a second apart.
run show nested --part abandon --scale 1
# late: of the delays over 5.5 s, how many were abandoned, and how many of those
# ended before the same job that ignores the stop.
late() {
    awk '$2 == "abandoned" && $1 > 5.5 { n++; before += $5 < $9 }
        END { print n, before }' out
}
# answers N: the N-th number: made, used, dropped.
answers() {
    sed -nE 's/^  answers: //p' out | grep -oE '[0-9]+' | sed -n "$1p"
}
ok "a late job is abandoned, and ends immediately if it heeds the stop" \
    \
    is "$(late)" "4 4"
ok "each answer was either used, or late and dropped" \
    all is "$(answers 1)" "$(($(answers 2) + $(answers 3)))" -- \
    at_least "$(answers 1)" 10 -- at_least "$(answers 3)" 4

if int_works; then
    start show nested --scale 100
    await has_lines out 3
    kill -INT "$pid"
    ended
    ok "Ctrl-C ends nested immediately and tears no line" \
        all is "$code" 130 -- test -z "$(tail -c 1 out)"
else
    skip "Ctrl-C ends nested immediately and tears no line" "ignored here"
fi

run show nested --help
ok "nested --help lists the options and ends with 0" \
    all is "$code" 0 -- grep -q -e --part out -- test ! -s err
# refused SAID ARGUMENTS...
refused() {
    local said=$1
    shift
    run show nested "$@"
    all is "$code" 2 -- says "$said" -- test ! -s out
}
ok "nested rejects bad values, unknown options, parts and operands by name" \
    all refused "--scale 0:" --scale 0 -- refused "--scale 101:" --scale 101 \
    -- refused "--part fun:" --part fun -- refused "--part ''" --part '' -- \
    refused "--fast" --fast -- refused "fast:" fast
code=0
"$weir" show nested --scale 0.01 >/dev/full 2>err || code=$?
ok "a full standard output ends nested with 3" \
    all is "$code" 3 -- says "standard output: No space left"
finish
